/* SPDX-License-Identifier: MIT
 * Provider: one SQLite file as its books. It is not a store of the bus: nothing here is in the shard's transaction, and
 * a crash between its commit and ours is what the idempotency key is for. */
#include "provider.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct provider {
    sqlite3 *db;
    pthread_mutex_t lock; /* pool threads share the connection */
    char down[4096];
};

static const char books[] =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
    "CREATE TABLE IF NOT EXISTS charge (key TEXT NOT NULL PRIMARY KEY, card TEXT NOT NULL, amount_cents INTEGER NOT NULL,"
    " outcome TEXT NOT NULL, text TEXT NOT NULL, refund TEXT NOT NULL DEFAULT '') WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS trouble (key TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;"; /* keys that have failed once */

provider *provider_open(const char *directory, char *why, int cap)
{
    provider *p = calloc(1, sizeof *p);
    char path[4096];
    bool ok = false;
    if (p == NULL) {
        snprintf(why, (size_t)cap, "no memory");
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    if ((size_t)snprintf(p->down, sizeof p->down, "%s/down", directory) >= sizeof p->down ||
        (size_t)snprintf(path, sizeof path, "%s/books.db", directory) >= sizeof path) {
        snprintf(why, (size_t)cap, "the path is too long");
        goto out;
    }
    if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
        snprintf(why, (size_t)cap, "%s", strerror(errno));
        goto out;
    }
    if (sqlite3_open(path, &p->db) != SQLITE_OK || sqlite3_busy_timeout(p->db, 10000) != SQLITE_OK ||
        sqlite3_exec(p->db, books, NULL, NULL, NULL) != SQLITE_OK) {
        snprintf(why, (size_t)cap, "%s", sqlite3_errmsg(p->db));
        goto out;
    }
    ok = true;
out:
    if (!ok)
        provider_close(p);
    return ok ? p : NULL;
}

void provider_close(provider *p)
{
    if (p == NULL)
        return;
    sqlite3_close(p->db);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static provider_answer say(provider_outcome outcome, const char *text)
{
    provider_answer answer = { .outcome = outcome };
    snprintf(answer.text, sizeof answer.text, "%s", text);
    return answer;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Runs one statement with up to three texts; returns the step's result. The statement is left in *q for its columns. */
static int run(provider *p, sqlite3_stmt **q, const char *sql, const char *a, const char *b, const char *c)
{
    const char *texts[] = { a, b, c };
    if (sqlite3_prepare_v2(p->db, sql, -1, q, NULL) != SQLITE_OK)
        return SQLITE_ERROR;
    for (int i = 0; i < 3 && texts[i] != NULL; i++)
        sqlite3_bind_text(*q, i + 1, texts[i], -1, SQLITE_TRANSIENT);
    return sqlite3_step(*q);
}

/* What the key was answered before; false: nothing yet. */
static bool recall(provider *p, const char *key, const char *card, int64_t amount_cents, provider_answer *out)
{
    sqlite3_stmt *q = NULL;
    bool found = run(p, &q, "SELECT outcome, text, card, amount_cents FROM charge WHERE key = ?1", key, NULL, NULL) == SQLITE_ROW;
    if (found) {
        bool charged = strcmp((const char *)sqlite3_column_text(q, 0), "charged") == 0;
        *out = say(charged ? PROVIDER_CHARGED : PROVIDER_DECLINED, (const char *)sqlite3_column_text(q, 1));
        if (strcmp((const char *)sqlite3_column_text(q, 2), card) != 0 || sqlite3_column_int64(q, 3) != amount_cents)
            *out = say(PROVIDER_MALFORMED, "the idempotency key was used for another charge");
    }
    sqlite3_finalize(q);
    return found;
}

/* True the first time it is asked about a key. */
static bool first_trouble(provider *p, const char *key)
{
    sqlite3_stmt *q = NULL;
    int rc = run(p, &q, "INSERT OR IGNORE INTO trouble (key) VALUES (?1)", key, NULL, NULL);
    sqlite3_finalize(q);
    return rc == SQLITE_DONE && sqlite3_changes(p->db) == 1;
}

static provider_answer carry_out(provider *p, const char *key, const char *card, int64_t amount_cents)
{
    char text[PROVIDER_TEXT_MAX], sql[200];
    bool declined = true;
    if (amount_cents > PROVIDER_LIMIT_CENTS)
        snprintf(text, sizeof text, "over the card's limit");
    else if (starts(card, "tok_declined"))
        snprintf(text, sizeof text, "insufficient funds");
    else {
        declined = false;
        snprintf(text, sizeof text, "ch_%.70s", key);
    }
    sqlite3_stmt *q = NULL;
    snprintf(sql, sizeof sql, "INSERT INTO charge (key, card, text, amount_cents, outcome) VALUES (?1, ?2, ?3, %lld, '%s')",
             (long long)amount_cents, declined ? "declined" : "charged");
    int rc = run(p, &q, sql, key, card, text);
    sqlite3_finalize(q);
    if (rc != SQLITE_DONE)
        return say(PROVIDER_BUSY, "the provider cannot write its books");
    return say(declined ? PROVIDER_DECLINED : PROVIDER_CHARGED, text);
}

provider_answer provider_charge(provider *p, const char *key, const char *card, int64_t amount_cents)
{
    if (access(p->down, F_OK) == 0)
        return say(PROVIDER_DOWN, "no answer");
    if (!starts(card, "tok_"))
        return say(PROVIDER_MALFORMED, "the card is not a token");
    if (amount_cents <= 0)
        return say(PROVIDER_MALFORMED, "the amount is not positive");
    provider_answer answer;
    pthread_mutex_lock(&p->lock);
    if (!recall(p, key, card, amount_cents, &answer)) {
        bool trouble = (starts(card, "tok_busy") || starts(card, "tok_lost")) && first_trouble(p, key);
        if (trouble && starts(card, "tok_busy")) {
            answer = say(PROVIDER_BUSY, "503 too many requests");
        } else {
            answer = carry_out(p, key, card, amount_cents);
            if (trouble)
                answer = say(PROVIDER_BUSY, "the answer was lost on the way");
        }
    }
    pthread_mutex_unlock(&p->lock);
    return answer;
}

provider_answer provider_refund(provider *p, const char *charge_key)
{
    if (access(p->down, F_OK) == 0)
        return say(PROVIDER_DOWN, "no answer");
    provider_answer answer = say(PROVIDER_NOTHING, "the key has charged nothing");
    char text[PROVIDER_TEXT_MAX];
    sqlite3_stmt *q = NULL;
    snprintf(text, sizeof text, "re_%.70s", charge_key);
    pthread_mutex_lock(&p->lock);
    /* the same reference each time: a second refund of a charge is the first one */
    int rc = run(p, &q, "UPDATE charge SET refund = ?2 WHERE key = ?1 AND outcome = 'charged'", charge_key, text, NULL);
    sqlite3_finalize(q);
    if (rc != SQLITE_DONE)
        answer = say(PROVIDER_BUSY, "the provider cannot write its books");
    else if (sqlite3_changes(p->db) == 1)
        answer = say(PROVIDER_REFUNDED, text);
    pthread_mutex_unlock(&p->lock);
    return answer;
}
