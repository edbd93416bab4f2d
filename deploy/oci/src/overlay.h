#ifndef DOCKLINE_OVERLAY_H
#define DOCKLINE_OVERLAY_H

#include <stdbool.h>

enum { MAX_LAYERS = 500 };

/* What an overlay mount was made of, with absolute paths. */
struct overlay {
	char *lower[MAX_LAYERS];
	int lowers;
	char *upper;
	char *work;
	/* Options that a recreated mount must have too (index=off, context="…"), joined by commas. */
	char *others;
	/* Made by mount_root at an earlier start: the engine held it over a stop (docker cp). */
	bool ours;
};

/* Reads the topmost mount at `root` from mountinfo; fails the start when it is no overlay with an upper. */
void read_overlay(const char *root, struct overlay *overlay);

/* The same from one line's super options; `root` places relative layers. */
void parse_overlay(char *options, const char *root, struct overlay *overlay);

#endif
