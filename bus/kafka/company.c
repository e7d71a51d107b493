/* SPDX-License-Identifier: MIT
 * Company: who is in the consumer group besides processes of the service. A foreign member causes a new assignment, so asking
 * once for each assignment finds it. */
#include "base/error.h"
#include "base/log.h"
#include "kafka/internal.h"
#include <stdio.h>
#include <string.h>

#define MOST_WAIT_MS 2000

/* As bui_kafka_member_is_ours. */
static bool is_ours(const rd_kafka_MemberDescription_t *member)
{
    const char *client = rd_kafka_MemberDescription_client_id(member),
               *instance = rd_kafka_MemberDescription_group_instance_id(member);
    return client && instance && *instance && strcmp(client, instance) == 0;
}

static void count(kafka_transport *t, const rd_kafka_ConsumerGroupDescription_t *group)
{
    size_t members = rd_kafka_ConsumerGroupDescription_member_count(group);
    t->company.strangers = 0;
    for (size_t i = 0; i < members; i++) {
        const rd_kafka_MemberDescription_t *member = rd_kafka_ConsumerGroupDescription_member(group, i);

        if (is_ours(member))
            continue;
        if (t->company.strangers++ == 0)
            snprintf(t->company.who, sizeof t->company.who, "%.100s at %.50s", rd_kafka_MemberDescription_client_id(member),
                     rd_kafka_MemberDescription_host(member));
    }
    t->company.had_strangers |= t->company.strangers > 0;
}

static void ask(kafka_transport *t, int timeout_ms)
{
    const rd_kafka_ConsumerGroupDescription_t **told = NULL;
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(t->tool, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(t->tool);
    const char *group = t->group;
    rd_kafka_event_t *event;
    char text[200];
    size_t groups = 0;
    rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text);
    rd_kafka_DescribeConsumerGroups(t->tool, &group, 1, options, queue);
    event = rd_kafka_queue_poll(queue, timeout_ms + 200);
    if (event && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR)
        told = rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &groups);
    if (groups > 0 && !rd_kafka_ConsumerGroupDescription_error(told[0]))
        count(t, told[0]);
    else
        bui_log(BUS_DEBUG, t->where, "company", "the group's coordinator does not say who is in %s", t->group);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
}

void kafka_company(bui_transport *base, int timeout_ms, bui_company *out)
{
    kafka_transport *t = kafka_of(base);
    int most = timeout_ms > 0 && timeout_ms < MOST_WAIT_MS ? timeout_ms : MOST_WAIT_MS;
    if (!t->company_known && t->rk && t->tool && !bui_kafka_is_mock(t->tool, most))
        ask(t, most);
    t->company_known = true;
    *out = t->company;
}

void kafka_company_changed(kafka_transport *t, bool lost)
{
    t->company_known = false;
    t->company.strangers = 0;
    if (!lost)
        return;
    t->company.membership++;
    t->company.had_strangers = false;
}
