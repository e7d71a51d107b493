/* SPDX-License-Identifier: MIT
 * Statistics: SQLite locks one mutex of the process at each malloc and free to count bytes that nobody asks for; all shards meet there. */
#include "store/statistics.h"

#include <sqlite3.h>

void bui_statistics_off(void)
{
    /* Refused once SQLite is initialised: then the program has its own use of it, and they are as it wants them. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}
