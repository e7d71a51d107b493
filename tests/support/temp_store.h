/* SPDX-License-Identifier: MIT
 * A store in a directory of its own, for tests. Include after cmocka.h. */
#ifndef TESTS_SUPPORT_TEMP_STORE_H
#define TESTS_SUPPORT_TEMP_STORE_H

#include "store/store.h"

/* Takes from a store of today what versions after 4 have added, for tests of upgrades. */
#define TEMP_STORE_BACK_TO_4 \
    "DROP INDEX bus_letter_replay; ALTER TABLE bus_letter DROP COLUMN replay; ALTER TABLE bus_letter DROP COLUMN partition;" \
    "ALTER TABLE bus_parked DROP COLUMN command; ALTER TABLE bus_meta DROP COLUMN age; ALTER TABLE bus_meta DROP COLUMN seal; ALTER TABLE bus_meta DROP COLUMN file;"

typedef struct temp_store {
    char directory[64];
    char path[96];             /* <directory>/inventory/1.db */
    bui_store_options options; /* service inventory, shard 1 of 4 */
    bui_store *store;
    bus_error err;
} temp_store;

/* Makes the directory, not the store. */
void temp_store_init(temp_store *temp);
/* Opens; the test fails with the error's text if that fails. */
bui_store *temp_store_open(temp_store *temp);
void temp_store_close(temp_store *temp);
bui_store *temp_store_reopen(temp_store *temp);
/* Closes and deletes all. */
void temp_store_remove(temp_store *temp);
/* One number from a statement on the store's own connection, outside of a sandbox; -1 if there is no row. */
int64_t temp_store_number(temp_store *temp, const char *sql);
/* Runs SQL on a connection of its own: what another program might do to the file. */
void temp_store_meddle(temp_store *temp, const char *sql);

/* A call that must succeed, with the text of its error if not. */
#define OK_(call, error) \
    do { \
        bus_status status_ = (call); \
        if (status_ != BUS_OK) \
            fail_msg("%s: %s: %s", #call, bus_status_name(status_), (error).text); \
    } while (0)

/* The n-th allocation of SQLite from now fails, once; 0: none. True from `off` if one did. Call sqlite_fail_install first thing in main. */
void sqlite_fail_install(void);
void sqlite_fail_at(long n);
bool sqlite_fail_off(void);

/* What stores of version 6 and before have not, for tests that make one. */
#define TEMP_STORE_BEFORE_7 \
    "ALTER TABLE bus_letter DROP COLUMN orig; ALTER TABLE bus_letter DROP COLUMN attempts;" \
    "ALTER TABLE bus_letter DROP COLUMN class; ALTER TABLE bus_letter DROP COLUMN reason;" \
    "ALTER TABLE bus_position DROP COLUMN anchor_kind; ALTER TABLE bus_position DROP COLUMN proof;" \
    "ALTER TABLE bus_position DROP COLUMN proof_hash; ALTER TABLE bus_position DROP COLUMN proof_kind;" \
    "ALTER TABLE bus_position DROP COLUMN life; ALTER TABLE bus_position DROP COLUMN judging;"

#endif
