/*
 * The process that holds a pod's namespaces open.
 *
 * It is pid 1 of the pod's pid namespace when the pod shares one, so children that lost their
 * parent become its own: SIGCHLD is set to "ignore", which makes the kernel reap them without
 * waking this process. TERM and INT are blocked and waited for, because a pid 1 does not get
 * signals that it has no handler for, while blocked ones are queued even for it.
 *
 * No libc: three system calls, and nothing that a scanner of images could find a CVE in.
 */

#if defined(__x86_64__)
enum { SYS_rt_sigaction = 13, SYS_rt_sigprocmask = 14, SYS_rt_sigtimedwait = 128, SYS_exit_group = 231 };

static long call4(long number, long a, long b, long c, long d)
{
	long result;
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
enum { SYS_exit_group = 94, SYS_rt_sigaction = 134, SYS_rt_sigprocmask = 135, SYS_rt_sigtimedwait = 137 };

static long call4(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#else
#error "amd64 and arm64 only"
#endif

enum { SIGINT = 2, SIGTERM = 15, SIGCHLD = 17, SIG_BLOCK = 0, SIG_IGN = 1, SET_BYTES = 8 };

struct kernel_sigaction {
	unsigned long handler;
	unsigned long flags;
	unsigned long restorer;
	unsigned long mask;
};

__attribute__((noreturn, used)) void _start(void)
{
	static const struct kernel_sigaction ignore = { .handler = SIG_IGN };
	const unsigned long ends = 1UL << (SIGINT - 1) | 1UL << (SIGTERM - 1);
	int status = 0;

	if (call4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&ends, 0, SET_BYTES) != 0 ||
	    call4(SYS_rt_sigaction, SIGCHLD, (long)&ignore, 0, SET_BYTES) != 0)
		status = 1;
	else
		/* Negative is EINTR: a stop and continue, or a tracer. */
		while (call4(SYS_rt_sigtimedwait, (long)&ends, 0, 0, SET_BYTES) < 0)
			;
	for (;;)
		call4(SYS_exit_group, status, 0, 0, 0);
}
