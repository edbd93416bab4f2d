import { execFileSync } from "node:child_process";
import { join } from "node:path";

export interface Certificate {
  certFile: string;
  keyFile: string;
}

const openssl = (...args: string[]): void =>
  void execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
const newKey = (keyFile: string): string[] => [
  ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile],
];

/** A certificate authority in files of `folder`. */
export function createAuthority(folder: string, name: string): Certificate {
  const [certFile, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  openssl(
    "req",
    "-x509",
    ...newKey(keyFile),
    "-out",
    certFile,
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
  );
  return { certFile, keyFile };
}

/** A certificate of that authority for 127.0.0.1, fit for servers and clients. */
export function createCertificate(folder: string, name: string, by: Certificate): Certificate {
  const [certFile, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  openssl(
    ...["req", "-x509", ...newKey(keyFile), "-out", certFile, "-days", "2", "-subj", `/CN=${name}`],
    ...["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"],
    ...["-CA", by.certFile, "-CAkey", by.keyFile],
  );
  return { certFile, keyFile };
}
