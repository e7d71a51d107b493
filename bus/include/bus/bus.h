/* SPDX-License-Identifier: MIT
 * The service bus: events over Kafka, state in SQLite, each event applied effectively once. */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include <bus/error.h>
#include <bus/event.h>
#include <bus/log.h>
#include <bus/service.h>
#include <bus/tx.h>
#include <bus/type.h>

#endif
