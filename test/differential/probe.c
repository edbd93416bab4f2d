/*
 * Prints what a container's first process sees, as one line of JSON: a static program, so that it starts in an empty image
 * and costs one start for each container. Strings are bytes: those above 0x7e are written as \u00XX.
 *
 * With PROBE_EXIT=N in its environment it exits with N, with PROBE_SECONDS=N it stays so long.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

static void quote(const char *text, size_t length) {
  putchar('"');
  for (size_t at = 0; at < length; at++) {
    unsigned char byte = (unsigned char)text[at];
    if (byte == '"' || byte == '\\')
      printf("\\%c", byte);
    else if (byte < 0x20 || byte > 0x7e)
      printf("\\u%04x", byte);
    else
      putchar(byte);
  }
  putchar('"');
}

static void text(const char *value) { quote(value, strlen(value)); }

static void list(const char *name, char **values) {
  printf(",\"%s\":[", name);
  for (int at = 0; values[at] != NULL; at++) {
    if (at > 0) putchar(',');
    text(values[at]);
  }
  putchar(']');
}

/* The first 256 KiB, or the error's name in an object. */
static void file(const char *path, int first) {
  static char buffer[256 * 1024];
  if (!first) putchar(',');
  text(path);
  putchar(':');
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    printf("{\"error\":\"%s\"}", strerrorname_np(errno));
    return;
  }
  size_t length = 0;
  ssize_t got = 0;
  while (length < sizeof buffer && (got = read(fd, buffer + length, sizeof buffer - length)) > 0) length += (size_t)got;
  int error = errno;
  close(fd);
  if (got < 0)
    printf("{\"error\":\"%s\"}", strerrorname_np(error));
  else
    quote(buffer, length);
}

static char kind(mode_t mode) {
  return S_ISDIR(mode) ? 'd' : S_ISREG(mode) ? 'f' : S_ISCHR(mode) ? 'c' : S_ISBLK(mode) ? 'b' : S_ISFIFO(mode) ? 'p' : S_ISSOCK(mode) ? 's' : 'l';
}

/* {"kind":…,"mode":…,"uid":…,"gid":…,"writable":…} and, of folders and files, what is in them. */
static void node(const char *path, int deep) {
  struct stat found;
  if (lstat(path, &found) != 0) {
    printf("{\"error\":\"%s\"}", strerrorname_np(errno));
    return;
  }
  printf("{\"kind\":\"%c\",\"mode\":\"%04o\",\"uid\":%u,\"gid\":%u,\"writable\":%s", kind(found.st_mode), found.st_mode & 07777, found.st_uid, found.st_gid,
         faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 ? "true" : "false");
  if (S_ISCHR(found.st_mode) || S_ISBLK(found.st_mode)) {
    printf(",\"device\":\"%u:%u\"", major(found.st_rdev), minor(found.st_rdev));
    /* Of /dev/null and its like only: with a privileged container's devices an open can have effects on the node. */
    if (S_ISCHR(found.st_mode) && major(found.st_rdev) == 1 && minor(found.st_rdev) != 1 && minor(found.st_rdev) != 4) {
      int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
      printf(",\"open\":\"%s\"", fd >= 0 ? "yes" : strerrorname_np(errno));
      if (fd >= 0) close(fd);
    }
  }
  if (S_ISLNK(found.st_mode)) {
    char target[4096];
    ssize_t length = readlink(path, target, sizeof target);
    printf(",\"target\":");
    quote(target, length < 0 ? 0 : (size_t)length);
  }
  if (deep && S_ISREG(found.st_mode) && found.st_size < 4096) {
    printf(",\"content\":{");
    file(path, 1);
    putchar('}');
  }
  if (deep && S_ISDIR(found.st_mode)) {
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    printf(",\"names\":[");
    for (int at = 0, shown = 0; at < count; at++) {
      if (strcmp(names[at]->d_name, ".") == 0 || strcmp(names[at]->d_name, "..") == 0 || shown >= 40) continue;
      if (shown++ > 0) putchar(',');
      text(names[at]->d_name);
    }
    putchar(']');
  }
  putchar('}');
}

static const char *const files[] = {
    "/proc/self/status", "/proc/self/mountinfo", "/proc/self/limits", "/proc/self/cgroup", "/proc/self/oom_score_adj", "/proc/self/uid_map", "/proc/self/gid_map",
    "/proc/self/attr/current", "/proc/net/dev", "/proc/1/cmdline", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/shm_rmid_forced", "/proc/sys/kernel/msgmax", "/proc/sys/kernel/sem", "/proc/sys/fs/mqueue/msg_max", "/proc/sys/net/ipv4/ip_local_port_range",
    "/proc/sys/net/ipv4/ping_group_range", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/net/ipv4/tcp_syncookies", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/eth0/arp_ignore",
    "/proc/sys/net/core/somaxconn", "/proc/sys/net/ipv6/conf/all/disable_ipv6", "/sys/fs/cgroup/cpu/cpu.shares", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes",
    "/sys/fs/cgroup/memory/memory.soft_limit_in_bytes", "/sys/fs/cgroup/memory/memory.swappiness", "/sys/fs/cgroup/cpuset/cpuset.cpus",
    "/sys/fs/cgroup/cpuset/cpuset.mems", "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/devices/devices.list", "/sys/fs/cgroup/blkio/blkio.weight",
    "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu.weight", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.high", "/sys/fs/cgroup/memory.swap.max",
    "/sys/fs/cgroup/memory.oom.group", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/cpuset.cpus", "/sys/fs/cgroup/cpuset.mems"};

static void mount_points(void) {
  FILE *table = fopen("/proc/self/mountinfo", "re");
  char line[8192], point[4096];
  int shown = 0;
  while (table != NULL && fgets(line, sizeof line, table) != NULL) {
    if (sscanf(line, "%*s %*s %*s %*s %4095s", point) != 1) continue;
    /* The table writes blanks and the like as \ooo. */
    char *to = point;
    for (const char *from = point; *from != 0; to++) {
      if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3') {
        *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
        from += 4;
      } else
        *to = *from++;
    }
    *to = 0;
    if (shown++ > 0) putchar(',');
    text(point);
    putchar(':');
    node(point, strncmp(point, "/proc", 5) != 0 && strncmp(point, "/sys", 4) != 0 && strcmp(point, "/dev") != 0);
  }
  if (table != NULL) fclose(table);
}

static void devices(void) {
  struct dirent **names;
  int count = scandir("/dev", &names, NULL, alphasort), shown = 0;
  for (int at = 0; at < count; at++) {
    char path[512];
    if (names[at]->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/dev/%s", names[at]->d_name);
    if (shown++ > 0) putchar(',');
    text(names[at]->d_name);
    putchar(':');
    node(path, 0);
  }
}

static void descriptors(void) {
  int shown = 0;
  for (int fd = 0; fd < 256; fd++) {
    struct stat found;
    if (fstat(fd, &found) != 0) continue;
    printf("%s\"%d\":\"%c%s\"", shown++ > 0 ? "," : "", fd, kind(found.st_mode), isatty(fd) ? " tty" : S_ISCHR(found.st_mode) ? " device" : "");
  }
}

static const char *input(void) {
  struct pollfd waited = {.fd = 0, .events = POLLIN};
  char byte;
  if (fcntl(0, F_GETFD) < 0) return "closed";
  if (poll(&waited, 1, 0) == 0) return "waits";
  ssize_t got = read(0, &byte, 1);
  return got == 0 ? "ended" : got > 0 ? "data" : strerrorname_np(errno);
}

static void namespaces(void) {
  static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
  for (size_t at = 0; at < sizeof kinds / sizeof *kinds; at++) {
    char path[64], target[128];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[at]);
    ssize_t length = readlink(path, target, sizeof target);
    printf("%s\"%s\":", at > 0 ? "," : "", kinds[at]);
    quote(target, length < 0 ? 0 : (size_t)length);
  }
}

int main(int argc, char **argv) {
  struct utsname names;
  char folder[4096];
  (void)argc;
  setvbuf(stdout, NULL, _IOFBF, 1 << 20);
  uname(&names);
  const char *cwd = getcwd(folder, sizeof folder);
  /* Before anything is opened. */
  printf("{\"descriptors\":{");
  descriptors();
  printf("},\"stdin\":\"%s\",\"pid\":%d,\"hostname\":", input(), getpid());
  text(names.nodename);
  printf(",\"cwd\":");
  text(cwd == NULL ? "" : cwd);
  list("argv", argv);
  list("env", environ);
  printf(",\"namespaces\":{");
  namespaces();
  printf("},\"files\":{");
  for (size_t at = 0; at < sizeof files / sizeof *files; at++) file(files[at], at == 0);
  printf("},\"mountPoints\":{");
  mount_points();
  printf("},\"devices\":{");
  devices();
  printf("}}\n");
  fflush(stdout);
  const char *seconds = getenv("PROBE_SECONDS");
  if (seconds != NULL) sleep((unsigned)atoi(seconds));
  const char *code = getenv("PROBE_EXIT");
  return code == NULL ? 0 : atoi(code);
}
