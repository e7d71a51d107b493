/* SPDX-License-Identifier: MIT
 * Places: which records of a dead-letter topic are about which dead letter, by its id. Kept in a file from one command to the next, so
 * that one dead letter is found without reading all of them again. They lead to records and say nothing of their own: what a dead letter
 * is, its records say. Pure but for the file; one thread. */
#ifndef BUI_OPS_PLACES_H
#define BUI_OPS_PLACES_H

#include "base/id.h"
#include "shard/transport.h"

/* A dead letter's id is a UUID that its service made; whatever else stands there is somebody's text. */
bool bui_is_letter_id(const char *at, size_t len);

typedef struct bui_place_of {
    char id[BUI_ID_TEXT - 1]; /* not terminated */
    int32_t partition;
    int64_t offset;
} bui_place_of;

typedef struct bui_places bui_places;
bui_places *bui_places_new(void); /* NULL: no memory */
void bui_places_free(bui_places *places);

/* Takes the places from the file, if it is there and whole; nothing otherwise. BUS_NOMEM. */
bus_status bui_places_load(bui_places *places, const char *file, bus_error *err);
/* Writes them, if there is more to know than the file has. A cache: that it cannot be written is no error. */
void bui_places_save(bui_places *places, const char *file);
void bui_places_forget(bui_places *places);

/* The last record of the partition that they know: the topic is to be read from it on. -1: none, read from the start. */
int64_t bui_places_last(const bui_places *places, int32_t partition);
/* Takes the partition's next record. The first must be the last one known: else they are of another log (bui_places_good). BUS_NOMEM. */
bus_status bui_places_add(bui_places *places, const bui_record *record, bus_error *err);
/* Was the last record that was known found again in each partition? Otherwise forget them, and read all. */
bool bui_places_good(const bui_places *places);

size_t bui_places_count(const bui_places *places);
const bui_place_of *bui_places_at(const bui_places *places, size_t at);

/* Is it the dead letter that an operator means by `text`: its id, or at least four characters of the beginning? */
bool bui_letter_is(const char *id, const char *text);

#endif
