/* SPDX-License-Identifier: MIT
 * The simulation's two services. */
#include "support/sim.h"

#include "inventory.events.h"
#include "payment.events.h"
#include "stocktaking.events.h"
#include <bus/bus.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

static const bus_migration migrations[] = {
    { "effects", "CREATE TABLE effect(n INTEGER PRIMARY KEY NOT NULL, number INTEGER NOT NULL, key TEXT NOT NULL);"
                 "CREATE TABLE again(n INTEGER PRIMARY KEY NOT NULL, number INTEGER NOT NULL, early INTEGER NOT NULL);" },
    { 0 }
};

static const bus_state *const states[] = { &stocktaking_Tally_state, &stocktaking_Echo_state, NULL };

/* By typed state alone: no row is changed before the commit. */
static void echo(bus_tx *tx, int number)
{
    stocktaking_Echo heard = { .number = number };
    stocktaking_Echo_load(tx, &heard);
    heard.times++;
    stocktaking_Echo_save(tx, &heard);
}

/* By SQL, and the same once more by typed state. */
static void effect(bus_tx *tx, int number, const void *key, size_t key_len)
{
    stocktaking_Tally tally = { .place = bus_string_of(key, key_len) };
    sqlite3_stmt *insert = bus_sql(tx, "INSERT INTO effect(number, key) VALUES (?1, ?2)");
    if (!insert)
        return; /* sticky: the delivery is undone */
    sqlite3_bind_int(insert, 1, number);
    sqlite3_bind_text(insert, 2, key_len ? key : "", (int)key_len, SQLITE_TRANSIENT);
    sqlite3_step(insert);
    stocktaking_Tally_load(tx, &tally);
    tally.times++;
    stocktaking_Tally_save(tx, &tally);
}

/* A copy's; was it before its event's? */
static void effect_again(bus_tx *tx, const char *table, int number)
{
    sqlite3_stmt *insert =
        bus_sql(tx, strcmp(table, "echo") == 0
                        ? "INSERT INTO again(number, early) VALUES (?1, NOT EXISTS (SELECT 1 FROM echo WHERE number = ?1))"
                        : "INSERT INTO again(number, early) VALUES (?1, NOT EXISTS (SELECT 1 FROM effect WHERE number = ?1))");
    if (!insert)
        return;
    sqlite3_bind_int(insert, 1, number);
    sqlite3_step(insert);
}

/* What a handler does besides its work: now and then it fails, before or after having written. */
static bus_verdict mood(bus_tx *tx, sim *s, int number, int attempt)
{
    if (s->mended)
        return BUS_DONE;
    uint64_t fate = ((uint64_t)number * 0x9E3779B97F4A7C15u ^ s->plan->seed * 0xD1B54A32D192ED03u) >> 32;
    int kind = (int)(fate % 20);
    if (fate % 61 == 0 && s->acting && !s->cut && sim_strikes(s, SIM_KILLER)) {
        sim_note(s, "%s.%d is killed by event %d", s->service[s->acting->service].name, s->acting->number, number);
        sim_die(s, s->acting);
        return BUS_DONE;
    }
    if (kind < 4 && attempt <= 1 + kind / 2 && sim_strikes(s, SIM_RETRY))
        return bus_retry(tx, "event %d fails %d times", number, 1 + kind / 2);
    if (kind == 4 && sim_strikes(s, SIM_REJECT))
        return bus_reject(tx, "event %d is poison", number);
    if (kind == 5 && sim_strikes(s, SIM_RETRY))
        return bus_retry(tx, "event %d always fails", number);
    if (!s->calm && sim_chance(s, 20) && sim_strikes(s, SIM_PAUSE))
        return bus_pause(tx, "weather");
    if (!s->calm && sim_chance(s, 20) && sim_strikes(s, SIM_RETRY))
        return bus_retry(tx, "bad luck");
    if (!s->calm && sim_chance(s, 10) && sim_strikes(s, SIM_STICKY)) {
        bus_sql(tx, "SELECT nonsense FROM nowhere"); /* sticky */
        return BUS_DONE;
    }
    return BUS_DONE;
}

/* Half of the failing runs have written before. */
static bus_verdict work(bus_tx *tx, const bus_event *event, sim *s, int number, const char *table)
{
    static const char *const words[] = {
        [BUS_DONE] = "done", [BUS_RETRY] = "retry", [BUS_REJECT] = "reject", [BUS_PAUSE] = "pause"
    };
    bool early = number % 2;
    bus_verdict verdict = early ? mood(tx, s, number, event->attempt) : BUS_DONE;
    if (event->replay)
        effect_again(tx, table, number);
    else if ((!early || verdict == BUS_DONE) && strcmp(table, "echo") == 0)
        echo(tx, number);
    else if (!early || verdict == BUS_DONE)
        effect(tx, number, event->key.at, event->key.len);
    if (!early)
        verdict = mood(tx, s, number, event->attempt);
    sim_note(s, "    %s %d, attempt %d%s: %s", table, number, event->attempt, event->replay ? " of a copy" : "", words[verdict]);
    return verdict;
}

static void pass_on(bus_tx *tx, int number, const char *key)
{
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    bus_emit(tx, &inventory_ReleaseStock_type, bus_str(key),
             &(inventory_ReleaseStock){ .order_id = bus_str(text), .sku = bus_str(key) });
}

static bus_verdict on_inbox(bus_tx *tx, const bus_event *event, void *shard)
{
    char text[16] = "", key[8] = "";
    memcpy(text, event->value.at, event->value.len < 15 ? event->value.len : 15);
    if (event->key.at)
        memcpy(key, event->key.at, event->key.len < 7 ? event->key.len : 7);
    bus_verdict verdict = work(tx, event, shard, atoi(text), "effect");
    if (verdict == BUS_DONE)
        pass_on(tx, atoi(text), event->key.at ? key : NULL);
    if (verdict == BUS_DONE && sim_is_asked(atoi(text)))
        bus_reply(tx, &inventory_ReleaseStock_type,
                  &(inventory_ReleaseStock){ .order_id = bus_str(text), .sku = BUS_STR("answer") });
    return verdict;
}

static int number_of(bus_string text)
{
    char digits[16] = "";
    memcpy(digits, text.at, text.len < 15 ? text.len : 15);
    return atoi(digits);
}

/* What the handler needs, fetched before: now and then that fails. */
static bus_verdict prepare_alpha(bus_prepare *prepare, const bus_event *event, void *shard)
{
    sim *s = shard;
    int number = number_of(inventory_ReleaseStock_of(event)->order_id);
    if (!s->calm && sim_chance(s, 20) && sim_strikes(s, SIM_PREPARE_RETRY))
        return bus_prepare_fail(prepare, BUS_RETRY, "fetching for %d failed", number);
    if (!s->calm && sim_chance(s, 20) && sim_strikes(s, SIM_PREPARE_PAUSE))
        return bus_prepare_fail(prepare, BUS_PAUSE, "the provider is away");
    return bus_prepare_keep(prepare, &number, sizeof number) == BUS_OK ? BUS_DONE : BUS_RETRY;
}

static bus_verdict on_alpha(bus_tx *tx, const bus_event *event, void *shard)
{
    const inventory_ReleaseStock *body = inventory_ReleaseStock_of(event);
    int number = number_of(body->order_id);
    size_t len = 0;
    const int *prepared = bus_prepared_result(tx, &len);
    if (!prepared || len != sizeof number || *prepared != number)
        sim_fail(shard, "event %d is handled with %s", number, prepared ? "what was prepared for another" : "nothing prepared");
    bus_verdict verdict = work(tx, event, shard, number, "effect");
    if (verdict == BUS_DONE && number % 3 == 0) {
        char name[24];
        snprintf(name, sizeof name, "echo-%d", number);
        bus_schedule(tx, bus_str(name), bus_now(tx) + 500 + 100 * (number % 40), &payment_RefundPayment_type, bus_str(name),
                     &(payment_RefundPayment){ .order_id = body->order_id, .reason = BUS_STR("echo") });
    }
    return verdict;
}

static bus_verdict on_echo(bus_tx *tx, const bus_event *event, void *shard)
{
    return work(tx, event, shard, number_of(payment_RefundPayment_of(event)->order_id), "echo");
}

bus_verdict sim_transaction(bus_tx *tx, void *opaque)
{
    sim_call *call = opaque;
    effect(tx, call->number, call->key, strlen(call->key));
    pass_on(tx, call->number, call->key);
    return call->number % 7 == 0 ? bus_reject(tx, "the caller thinks better of it") : BUS_DONE;
}

static bus_status on_open(sqlite3 *db, int shard, void *opaque, void **state, bus_error *err)
{
    (void)db;
    (void)shard;
    (void)err;
    *state = opaque;
    return BUS_OK;
}

void sim_services(sim *s)
{
    static const bus_route alpha[] = {
        { .topic = "shop.inbox", .handler = on_inbox, .on_dead = BUS_HOLD_KEY, .replay = BUS_REPLAY_RUN },
        { .topic = "shop.returns", .handler = on_inbox, .on_dead = BUS_HOLD_KEY, .replay = BUS_REPLAY_RUN },
        { 0 }
    };
    static const bus_route beta[] = {
        { .topic = "alpha.events",
          .type = &inventory_ReleaseStock_type,
          .handler = on_alpha,
          .prepare = prepare_alpha,
          .replay = BUS_REPLAY_RUN,
          .replay_prepares = true },
        { .topic = "beta.events", .type = &payment_RefundPayment_type, .handler = on_echo, .replay = BUS_REPLAY_RUN },
        { 0 }
    };
    /* of an older version: it knows fewer topics */
    static const bus_route older_alpha[] = {
        { .topic = "shop.inbox", .handler = on_inbox, .on_dead = BUS_HOLD_KEY, .replay = BUS_REPLAY_RUN }, { 0 }
    };
    static const bus_route older_beta[] = { { .topic = "alpha.events",
                                              .type = &inventory_ReleaseStock_type,
                                              .handler = on_alpha,
                                              .prepare = prepare_alpha,
                                              .replay = BUS_REPLAY_RUN,
                                              .replay_prepares = true },
                                            { 0 } };
    static const bus_emits alpha_emits[] = { { .type = &inventory_ReleaseStock_type }, { 0 } };
    static const bus_emits beta_emits[] = { { .type = &payment_RefundPayment_type }, { 0 } };
    s->service[ALPHA] = (bus_service){ .name = "alpha",
                                       .routes = alpha,
                                       .emits = alpha_emits,
                                       .migrations = migrations,
                                       .open = on_open,
                                       .opaque = s,
                                       .states = states };
    s->service[BETA] = (bus_service){ .name = "beta",
                                      .routes = beta,
                                      .emits = beta_emits,
                                      .migrations = migrations,
                                      .open = on_open,
                                      .opaque = s,
                                      .states = states };
    memcpy(s->older, s->service, sizeof s->older);
    s->older[ALPHA].routes = older_alpha;
    s->older[BETA].routes = older_beta;
    bui_catalog_add(s->catalog, bus_type_schema(&inventory_ReleaseStock_type),
                    strlen(bus_type_schema(&inventory_ReleaseStock_type)), NULL);
    bui_catalog_add(s->catalog, bus_type_schema(&payment_RefundPayment_type),
                    strlen(bus_type_schema(&payment_RefundPayment_type)), NULL);
}
