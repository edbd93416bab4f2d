/* The lines that dockline-dial writes and reads. */

struct line {
	unsigned long bytes;
	char text[120];
};

static void add_text(struct line *line, const char *text)
{
	while (*text != 0)
		line->text[line->bytes++] = *text++;
}

static void add_number(struct line *line, unsigned value)
{
	char digits[10];
	int count = 0;

	do
		digits[count++] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	while (count > 0)
		line->text[line->bytes++] = digits[--count];
}

static void say_errors(struct line *line, unsigned id, int first, int second)
{
	add_text(line, "{\"id\":");
	add_number(line, id);
	add_text(line, ",\"errnos\":[");
	add_number(line, (unsigned)first);
	if (second != 0) {
		add_text(line, ",");
		add_number(line, (unsigned)second);
	}
	add_text(line, "]}\n");
}

static void say_socket(struct line *line, unsigned id)
{
	add_text(line, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Socket\",\"msg\":{\"id\":");
	add_number(line, id);
	add_text(line, "}}\n");
}

static const char *after(const char *text, const char *word)
{
	for (; *text != 0; text++) {
		const char *at = text, *letter = word;

		while (*letter != 0 && *at == *letter)
			at++, letter++;
		if (*letter == 0)
			return at;
	}
	return 0;
}

static int contains(const char *text, const char *word)
{
	return after(text, word) != 0;
}

static int number_after(const char *text, const char *word, unsigned *value)
{
	const char *at = after(text, word);

	if (at == 0 || *at < '0' || *at > '9')
		return 0;
	for (*value = 0; *at >= '0' && *at <= '9'; at++)
		*value = *value * 10 + (unsigned)(*at - '0');
	return 1;
}
