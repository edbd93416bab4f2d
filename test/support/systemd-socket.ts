import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/**
 * Plays systemd: listens without accepting, starts the program with the socket as descriptor 3, and
 * keeps the socket when the program has ended. In Perl, which every Debian has: a listening server of
 * Node's would accept the connections itself.
 */
const holder = `
use Socket;
$| = 1; $^F = 3;
my $path = shift;
socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
open(my $three, ">&=", $socket) or die "dup: $!";
fileno($socket) == 3 or die "descriptor " . fileno($socket);
bind($socket, sockaddr_un($path)) or die "bind: $!";
listen($socket, 128) or die "listen: $!";
print "listening\\n";
while (<STDIN>) {
  my $pid = fork;
  if (!$pid) { $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_PID} = $$; exec @ARGV or die; }
  print "started $pid\\n";
  waitpid($pid, 0);
  print "ended ", $? >> 8, " ", $? & 127, "\\n";
}
`;

export interface HeldSocket {
  /** Starts the program; returns its pid. */
  start(): Promise<number>;
  /** Resolves with "EXIT-CODE SIGNAL" when it has ended. */
  ended(): Promise<string>;
  close(): void;
}

export async function holdSocket(path: string, command: string[]): Promise<HeldSocket> {
  const child = spawn("perl", ["-e", holder, path, ...command], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const expectLine = async (start: string): Promise<string> => {
    // Dockline's own log comes on the same stream.
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the socket's holder ended before "${start}"`);
      if (value.startsWith(start)) return value.slice(start.length).trim();
    }
  };
  await expectLine("listening");
  return {
    start: async () => {
      child.stdin.write("go\n");
      return Number(await expectLine("started"));
    },
    ended: () => expectLine("ended"),
    close: () => void child.kill("SIGKILL"),
  };
}
