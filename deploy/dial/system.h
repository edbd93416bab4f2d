/* The few system calls of dockline-dial, without a libc. */

#if defined(__x86_64__)
enum {
	SYS_close = 3, SYS_write = 1, SYS_socket = 41, SYS_connect = 42, SYS_recvfrom = 45, SYS_sendmsg = 46, SYS_getsockopt = 55,
	SYS_clock_gettime = 228, SYS_exit_group = 231, SYS_epoll_ctl = 233, SYS_openat = 257, SYS_epoll_pwait = 281,
	SYS_epoll_create1 = 291, SYS_setns = 308,
};

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call run\n");

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

struct event {
	unsigned events;
	unsigned long data;
} __attribute__((packed));
#elif defined(__aarch64__)
enum {
	SYS_epoll_create1 = 20, SYS_epoll_ctl = 21, SYS_epoll_pwait = 22, SYS_openat = 56, SYS_close = 57, SYS_write = 64,
	SYS_exit_group = 94, SYS_clock_gettime = 113, SYS_socket = 198, SYS_connect = 203, SYS_recvfrom = 207, SYS_getsockopt = 209,
	SYS_sendmsg = 211, SYS_setns = 268,
};

__asm__(".globl _start\n_start: mov x29, xzr\n mov x0, sp\n bl run\n");

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}

struct event {
	unsigned events;
	unsigned long data;
};
#else
#error "amd64 and arm64 only"
#endif

enum {
	EINTR = 4, EAGAIN = 11, ENOMEM = 12, EMFILE = 24, EPIPE = 32, ECONNRESET = 104, ENOBUFS = 105, ETOOMANYREFS = 109,
	ETIMEDOUT = 110, EINPROGRESS = 115, ECANCELED = 125,
	AF_INET = 2, AF_INET6 = 10, SOCK_STREAM = 1, SOCK_NONBLOCK = 04000, SOCK_CLOEXEC = 02000000, SOL_SOCKET = 1,
	SO_ERROR = 4, SCM_RIGHTS = 1, MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000,
	EPOLL_ADD = 1, EPOLL_DELETE = 2, EPOLLIN = 1, EPOLLOUT = 4, EPOLL_CLOEXEC = 02000000,
	AT_FDCWD = -100, O_CLOEXEC = 02000000, CLONE_NEWNET = 0x40000000, CLOCK_MONOTONIC = 1,
};

/* gcc calls these for structures. */
__attribute__((used)) void *memset(void *to, int byte, unsigned long bytes)
{
	for (char *at = to; bytes > 0; bytes--)
		*at++ = (char)byte;
	return to;
}

__attribute__((used)) void *memcpy(void *to, const void *from, unsigned long bytes)
{
	const char *source = from;

	for (char *at = to; bytes > 0; bytes--)
		*at++ = *source++;
	return to;
}

__attribute__((noreturn)) static void leave(int status)
{
	for (;;)
		call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

static void say(const char *text)
{
	unsigned long bytes = 0;

	while (text[bytes] != 0)
		bytes++;
	call(SYS_write, 2, (long)text, (long)bytes, 0, 0, 0);
}

static int enter_network(const char *path)
{
	long fd = call(SYS_openat, AT_FDCWD, (long)path, O_CLOEXEC, 0, 0, 0);
	long failed = fd < 0 ? fd : call(SYS_setns, fd, CLONE_NEWNET, 0, 0, 0, 0);

	if (fd >= 0)
		call(SYS_close, fd, 0, 0, 0, 0, 0);
	return failed == 0;
}

static void close_fd(int fd)
{
	call(SYS_close, fd, 0, 0, 0, 0, 0);
}

static long now_ms(void)
{
	long time[2] = { 0, 0 };

	call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)time, 0, 0, 0, 0);
	return time[0] * 1000 + time[1] / 1000000;
}

static long make_poller(void)
{
	return call(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0);
}

static long poll_for(int poller, int operation, int fd, unsigned events, unsigned long data)
{
	struct event event = { .events = events, .data = data };

	return call(SYS_epoll_ctl, poller, operation, fd, (long)&event, 0, 0);
}

static long wait_for(int poller, struct event *events, int size, int ms)
{
	return call(SYS_epoll_pwait, poller, (long)events, size, ms, 0, 0);
}

/* sockaddr_in and sockaddr_in6: the first two members are the same. */
struct address {
	unsigned short family;
	unsigned char port[2];
	unsigned char rest[24];
};

static unsigned make_loopback(struct address *address, int six, unsigned port)
{
	address->family = six ? AF_INET6 : AF_INET;
	address->port[0] = (unsigned char)(port >> 8);
	address->port[1] = (unsigned char)port;
	if (six) {
		/* Behind the flow label's four bytes: 15 zeros and a one. */
		address->rest[4 + 15] = 1;
		return 28;
	}
	address->rest[0] = 127;
	address->rest[3] = 1;
	return 16;
}

static long open_socket(int family)
{
	return call(SYS_socket, family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, 0, 0, 0);
}

static long connect_socket(int fd, const struct address *address, unsigned bytes)
{
	return call(SYS_connect, fd, (long)address, bytes, 0, 0, 0);
}

static int pending_error(int fd)
{
	int error = 0;
	unsigned bytes = sizeof error;
	long failed = call(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, (long)&error, (long)&bytes, 0);

	return failed < 0 ? (int)-failed : error;
}

static long receive(int fd, char *to, unsigned long bytes)
{
	return call(SYS_recvfrom, fd, (long)to, (long)bytes, MSG_DONTWAIT, 0, 0);
}

/* Sends a line, and a descriptor with it unless that is negative. Negative results are errors. */
static long send_line(int channel, const struct line *line, int fd)
{
	struct {
		unsigned long bytes;
		int level, type;
		int fd;
	} control = { .bytes = 20, .level = SOL_SOCKET, .type = SCM_RIGHTS, .fd = fd };
	struct {
		const char *base;
		unsigned long bytes;
	} text = { line->text, line->bytes };
	struct {
		void *name;
		unsigned name_bytes;
		void *parts;
		unsigned long part_count;
		void *control;
		unsigned long control_bytes;
		int flags;
	} message = { .parts = &text, .part_count = 1 };

	if (fd >= 0) {
		message.control = &control;
		message.control_bytes = sizeof control;
	}
	return call(SYS_sendmsg, channel, (long)&message, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0, 0);
}
