/* SPDX-License-Identifier: MIT
 * Publication: what a caller may ask to be published. */
#ifndef BUI_CODEC_PUBLICATION_H
#define BUI_CODEC_PUBLICATION_H

#include <bus/publish.h>

#define BUI_OWN_HEADERS 54 /* of an event, at most: as many as a handler may give it */

/* Is it one record, and of the caller's to write? `call` begins the text; `free`: headers that are the bus's may be written, too, as tests
 * do. BUS_INVALID. */
bus_status bui_publication_check(const bus_publication *from, const char *call, bool free, bus_error *err);

#endif
