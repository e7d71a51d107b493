/* SPDX-License-Identifier: MIT
 * The service bus: events over Kafka, state in SQLite, each event applied effectively once. Apart: <bus/test.h>, <bus/value.h>. */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include <bus/bytes.h>
#include <bus/error.h>
#include <bus/event.h>
#include <bus/log.h>
#include <bus/metric.h>
#include <bus/publish.h>
#include <bus/service.h>
#include <bus/bind.h>
#include <bus/state.h>
#include <bus/tx.h>
#include <bus/type.h>
#include <bus/version.h>

#endif
