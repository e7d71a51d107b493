/* SPDX-License-Identifier: MIT
 * The disks of the simulation: a service's processes and stores are one machine. Its power fails, its disk is full for a while,
 * and reads, writes and syncs fail, at the n-th operation from now as well as between two steps. */
#include "support/sim.h"

#include <stdlib.h>
#include <string.h>

bool sim_disk_make(sim *s)
{
    sim_draw_from(s, SIM_DISK);
    static const int storms[] = { 0, 4, 12 };
    s->disk_storm = storms[sim_below(s, 3)];
    s->disk = disk_new(s->plan->seed);
    if (!s->disk)
        return false;
    disk_promise(s->disk, sim_chance(s, 500) ? 512 : 4096, true); /* what SQLite's unix VFS promises; see tests/unit/disk.c */
    disk_judge_by(s->disk, sim_on_disk, s);
    seeded_ids(s->plan->seed);
    return true;
}

void sim_disk_unmake(sim *s)
{
    s->result->print = s->disk ? disk_print(s->disk) : 0;
    disk_free(s->disk);
    seeded_ids_off();
}

static const char *directory(const sim *s, int service, char out[128])
{
    snprintf(out, 128, "%s/%s", s->data, s->service[service].name);
    return out;
}

void sim_disk_heal(sim *s)
{
    char path[128];
    memset(s->ill, 0, sizeof s->ill);
    for (int i = 0; i < SIM_SERVICES; i++)
        disk_room(s->disk, directory(s, i, path), -1);
}

bool sim_disk_ill(const sim *s, int service)
{
    return s->ill[service].full || s->ill[service].struck;
}

/* ---- inside an operation */

static sim_fault fault_of(disk_op op)
{
    return op == DISK_SYNC ? SIM_SYNC_FAILS : op == DISK_READ ? SIM_READ_FAILS : SIM_WRITE_FAILS;
}

static bool due(int *after)
{
    return *after > 0 && --*after == 0;
}

disk_fate sim_on_disk(void *opaque, const char *path, disk_op op)
{
    sim *s = opaque;
    if (s->calm || s->cut || !s->acting)
        return DISK_WELL;
    int service = s->acting->service;
    sim_illness *ill = &s->ill[service];
    const char *file = strrchr(path, '/') + 1;
    if (op != DISK_READ && due(&ill->power_after)) {
        if (sim_strikes(s, SIM_POWER_INSIDE)) {
            sim_note(s, "the power of %s fails before a %s of %s", s->service[service].name, disk_op_name(op), file);
            sim_power_off(s, service);
        }
        return DISK_WELL;
    }
    if (op != DISK_READ && due(&ill->death_after)) {
        if (sim_strikes(s, SIM_DEATH_AT_DISK)) {
            sim_note(s, "%s.%d dies before a %s of %s", s->service[service].name, s->acting->number, disk_op_name(op), file);
            sim_die(s, s->acting);
        }
        return DISK_WELL;
    }
    if (ill->fails != fault_of(op) || ill->fail_after-- > 0)
        return DISK_WELL;
    if (--ill->fail_times <= 0)
        ill->fails = SIM_FAULTS;
    if (!sim_strikes(s, fault_of(op)))
        return DISK_WELL;
    ill->struck = true;
    sim_note(s, "a %s of %s/%s fails", disk_op_name(op), s->service[service].name, file);
    disk_draw_from(s->disk, sim_random(s));
    return DISK_ERROR;
}

/* ---- as a step */

static void fill(sim *s, int service)
{
    char path[128];
    sim_illness *ill = &s->ill[service];
    int room = sim_chance(s, 300) ? 0 : sim_below(s, 60000);
    if (ill->full) {
        sim_note(s, "the disk of %s has room", s->service[service].name);
        disk_room(s->disk, directory(s, service, path), -1);
        ill->full = false;
    } else if (sim_strikes(s, SIM_FULL_DISK)) {
        sim_note(s, "the disk of %s has room for %d bytes", s->service[service].name, room);
        disk_room(s->disk, directory(s, service, path), room);
        ill->full = true;
    }
}

static void fail(sim *s, int service, sim_fault fault)
{
    sim_illness *ill = &s->ill[service];
    ill->fail_after = sim_below(s, fault == SIM_SYNC_FAILS ? 5 : 25);
    ill->fail_times = sim_chance(s, 300) ? 1 + sim_below(s, 30) : 1;
    ill->fails = fault;
}

void sim_disk_step(sim *s, int service)
{
    sim_illness *ill = &s->ill[service];
    int dice = sim_below(s, 10), after = 1 + sim_below(s, 50);
    switch (dice) {
    case 0:
        if (sim_strikes(s, SIM_POWER)) {
            sim_note(s, "the power of %s fails", s->service[service].name);
            sim_power_off(s, service);
        }
        break;
    case 1:
    case 2:
    case 3: ill->power_after = after; break;
    case 4: ill->death_after = after; break;
    case 5:
    case 6: fill(s, service); break;
    case 7: fail(s, service, SIM_SYNC_FAILS); break;
    case 8: fail(s, service, SIM_WRITE_FAILS); break;
    default: fail(s, service, SIM_READ_FAILS);
    }
}
