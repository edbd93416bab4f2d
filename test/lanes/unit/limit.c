/*
 * Runs a program with the system calls that deploy/systemd/dockline.service leaves it, where no systemd runs that could
 * read the unit: SystemCallFilter, SystemCallErrorNumber=EPERM, SystemCallArchitectures=native, LockPersonality and
 * RestrictRealtime. NoNewPrivileges and the capabilities are the caller's part (setpriv).
 *
 *   limit CALL,CALL... PROGRAM [ARG...]
 *
 * CALLs that this machine's processor does not have are passed over, as systemd does.
 */
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(const char *what, int result) {
  if (result >= 0) return;
  fprintf(stderr, "limit: %s: %s\n", what, strerror(-result));
  exit(125);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: limit CALL,CALL... PROGRAM [ARG...]\n");
    return 125;
  }
  /* What is allowed by default keeps its meaning; another architecture's calls are refused. */
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == NULL) check("seccomp_init", -ENOMEM);
  check("architectures", seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)));
  const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
  int refused = 0;
  for (char *name = strtok(argv[1], ","); name != NULL; name = strtok(NULL, ",")) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR || call < 0) continue;
    check(name, seccomp_rule_add(filter, refuse, call, 0));
    refused += 1;
  }
  if (refused == 0) check("no system call that exists here", -EINVAL);
  /* LockPersonality. */
  check("personality", seccomp_rule_add(filter, refuse, SCMP_SYS(personality), 1, SCMP_A0(SCMP_CMP_NE, 0)));
  /* RestrictRealtime: SCHED_FIFO, SCHED_RR and SCHED_DEADLINE. */
  const int realtime[] = {SCHED_FIFO, SCHED_RR, 6};
  for (size_t i = 0; i < sizeof realtime / sizeof *realtime; i++)
    check("sched_setscheduler", seccomp_rule_add(filter, refuse, SCMP_SYS(sched_setscheduler), 1,
                                                 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff, realtime[i])));
  check("seccomp_load", seccomp_load(filter));
  execvp(argv[2], argv + 2);
  perror(argv[2]);
  return 127;
}
