/*
 * Connects to ports inside a pod's network namespace and hands the connected sockets to its parent.
 *
 *   dockline-dial [NETWORK_NAMESPACE]     enters the namespace of that path, if one is given
 *
 * File descriptor 3 is the channel to the parent, in the form that Node.js uses between a process and
 * its child: JSON objects, a line each, and a socket travels with the line that announces it.
 *
 *   parent: {"id":7,"port":80}            connect to 127.0.0.1:80, or to [::1]:80 when that fails
 *           {"id":7,"port":0}             the client has gone: forget that connection
 *           {"cmd":"NODE_HANDLE_ACK"}     a socket has arrived; NODE_HANDLE_NACK: it was lost on the way
 *   child:  {"cmd":"NODE_HANDLE","type":"net.Socket","msg":{"id":7}}      with the socket
 *           {"id":7,"errnos":[111,99]}    why neither address could be reached
 *
 * It ends with the channel: a killed parent leaves nothing behind. No libc: the process of each session
 * has to be small and ready at once.
 */

#include "lines.h"
#include "system.h"

enum { CHANNEL = 3, MAX_DIALS = 4096, MAX_UNANSWERED = 64, TIMEOUT_MS = 10000, TICK_MS = 500, RETRY_MS = 10 };
enum state { FREE, CONNECTING, FINISHED };

struct dial {
	int fd;
	unsigned id;
	unsigned short port;
	unsigned char state, address;
	int errors[2];
	long deadline;
};

static struct dial dials[MAX_DIALS];
static unsigned used, highest;
/* Dials that are over, in the order in which the parent is informed of them.  */
static unsigned short finished[MAX_DIALS];
static unsigned finished_first, finished_count;
/* Of sockets on their way: the parent acknowledges them in order and without a name. */
static unsigned unanswered[MAX_UNANSWERED];
static unsigned unanswered_first, unanswered_count;
static int poller, waits_for_room;
static char input[16384];
static unsigned long input_bytes;

static void start(struct dial *dial);
static void finish(struct dial *dial)
{
	dial->state = FINISHED;
	finished[(finished_first + finished_count++) % MAX_DIALS] = (unsigned short)(dial - dials);
}

static void fail(struct dial *dial, int error)
{
	if (dial->fd >= 0)
		close_fd(dial->fd);
	dial->fd = -1;
	dial->errors[dial->address] = error;
	/* A port that takes a connection and resets it is there: the other address has no better news. */
	if (dial->address == 0 && error != ECONNRESET) {
		dial->address = 1;
		start(dial);
	} else
		finish(dial);
}

static void start(struct dial *dial)
{
	struct address address = { 0 };
	unsigned size = make_loopback(&address, dial->address == 1, dial->port);
	long error;

	dial->state = CONNECTING;
	dial->fd = (int)open_socket(address.family);
	if (dial->fd < 0) {
		error = -dial->fd;
		fail(dial, (int)error);
		return;
	}
	error = -connect_socket(dial->fd, &address, size);
	if (error == 0)
		finish(dial);
	else if (error != EINPROGRESS)
		fail(dial, (int)error);
	else {
		dial->deadline = now_ms() + TIMEOUT_MS;
		error = -poll_for(poller, EPOLL_ADD, dial->fd, EPOLLOUT, (unsigned long)(dial - dials));
		if (error != 0)
			fail(dial, (int)error);
	}
}

static void release(struct dial *dial)
{
	if (dial->fd >= 0)
		close_fd(dial->fd);
	dial->state = FREE;
	used--;
}

/* Nothing is said when the channel has no room: false, and it is tried again later. */
static int tell(const struct line *line, int fd)
{
	long sent = send_line(CHANNEL, line, fd);

	if (sent == -EAGAIN || sent == -ENOBUFS || sent == -ENOMEM || sent == -ETOOMANYREFS)
		return 0;
	/* The parent has gone. A part of a line cannot be: a socket of this kind takes all or nothing. */
	if (sent != (long)line->bytes)
		leave(sent == -EPIPE ? 0 : 4);
	return 1;
}

static int tell_errors(unsigned id, int first, int second)
{
	struct line line = { 0 };

	say_errors(&line, id, first, second);
	return tell(&line, -1);
}

/* Out of turn. An answer that is lost would let the parent wait forever, but it notices our end. */
static void must_tell(unsigned id, int error)
{
	if (!tell_errors(id, error, 0))
		leave(4);
}

static int hand_over(const struct dial *dial)
{
	struct line line = { 0 };

	if (unanswered_count == MAX_UNANSWERED)
		return 0;
	say_socket(&line, dial->id);
	if (!tell(&line, dial->fd))
		return 0;
	unanswered[(unanswered_first + unanswered_count++) % MAX_UNANSWERED] = dial->id;
	return 1;
}

static void tell_finished(void)
{
	waits_for_room = 0;
	while (finished_count > 0) {
		struct dial *dial = &dials[finished[finished_first]];

		if (dial->state == FINISHED) {
			if (dial->fd >= 0 ? !hand_over(dial) : !tell_errors(dial->id, dial->errors[0], dial->errors[1])) {
				waits_for_room = 1;
				return;
			}
			release(dial);
		}
		finished_first = (finished_first + 1) % MAX_DIALS;
		finished_count--;
	}
}

static void forget(unsigned id)
{
	for (unsigned at = 0; at < highest; at++) {
		struct dial *dial = &dials[at];

		if (dial->state == FREE || dial->id != id)
			continue;
		/* One that waits to be announced keeps its place in that order. */
		if (dial->state == CONNECTING) {
			release(dial);
			return;
		}
		if (dial->fd >= 0)
			close_fd(dial->fd);
		dial->fd = -1;
		dial->errors[0] = ECANCELED;
		return;
	}
}

static void request(unsigned id, unsigned port)
{
	unsigned at = 0;

	if (port == 0) {
		forget(id);
		return;
	}
	while (at < MAX_DIALS && dials[at].state != FREE)
		at++;
	if (at == MAX_DIALS) {
		/* More than the parent ever asks for at once. */
		must_tell(id, ENOBUFS);
		return;
	}
	if (at >= highest)
		highest = at + 1;
	used++;
	dials[at] = (struct dial){ .fd = -1, .id = id, .port = (unsigned short)port };
	start(&dials[at]);
}

static void acknowledged(int arrived)
{
	unsigned id = unanswered[unanswered_first];

	if (unanswered_count == 0)
		return;
	unanswered_first = (unanswered_first + 1) % MAX_UNANSWERED;
	unanswered_count--;
	/* A parent without a free descriptor gets the line and not the socket. */
	if (!arrived)
		must_tell(id, EMFILE);
}

static void read_requests(void)
{
	long got = receive(CHANNEL, input + input_bytes, sizeof input - input_bytes);
	unsigned long from = 0;

	if (got == -EAGAIN || got == -EINTR)
		return;
	if (got <= 0)
		leave(0);
	input_bytes += (unsigned long)got;
	for (unsigned long at = 0; at < input_bytes; at++) {
		unsigned id, port;

		if (input[at] != '\n')
			continue;
		input[at] = 0;
		if (number_after(input + from, "\"id\":", &id) && number_after(input + from, "\"port\":", &port))
			request(id, port);
		else if (contains(input + from, "NODE_HANDLE_ACK"))
			acknowledged(1);
		else if (contains(input + from, "NODE_HANDLE_NACK"))
			acknowledged(0);
		from = at + 1;
	}
	for (unsigned long at = from; at < input_bytes; at++)
		input[at - from] = input[at];
	input_bytes -= from;
	if (input_bytes == sizeof input)
		leave(4);
}

static void end_late_dials(void)
{
	long now = now_ms();

	for (unsigned at = 0; at < highest; at++)
		if (dials[at].state == CONNECTING && dials[at].deadline <= now)
			fail(&dials[at], ETIMEDOUT);
}

static void connected(struct dial *dial)
{
	int error = pending_error(dial->fd);

	/* What happens to it from now on is the parent's business. */
	poll_for(poller, EPOLL_DELETE, dial->fd, 0, 0);
	if (error == 0)
		finish(dial);
	else
		fail(dial, error);
}

/* Called by _start with the stack as the kernel made it: the number of arguments, then they. */
__attribute__((noreturn, used)) void run(long *stack)
{
	static struct event events[256];
	const char *const *arguments = (const char *const *)(stack + 1);

	if (stack[0] > 1 && !enter_network(arguments[1])) {
		say("dockline-dial: the network namespace cannot be entered\n");
		leave(1);
	}
	poller = (int)make_poller();
	if (poller < 0 || poll_for(poller, EPOLL_ADD, CHANNEL, EPOLLIN, MAX_DIALS) != 0) {
		say("dockline-dial: descriptor 3 is no channel\n");
		leave(1);
	}
	for (;;) {
		long count = wait_for(poller, events, 256, waits_for_room ? RETRY_MS : used > 0 ? TICK_MS : -1);

		int readable = 0;

		for (long at = 0; at < count; at++) {
			if (events[at].data == MAX_DIALS)
				readable = 1;
			else
				connected(&dials[events[at].data]);
		}
		/* Last, since a request may take the place of a dial whose event is among these. */
		if (readable)
			read_requests();
		if (used > 0)
			end_late_dials();
		tell_finished();
	}
}
