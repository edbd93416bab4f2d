#ifndef DOCKLINE_REQUIRES_H
#define DOCKLINE_REQUIRES_H

#include "json.h"

/*
 * Fails the start when the real runtime's `features` lack one of the edits' `requires`: runtimes pass over members
 * of a spec that they do not know.
 */
void check_requires(yyjson_val *edits);

#endif
