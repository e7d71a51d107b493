-- SPDX-License-Identifier: MIT
-- What `bus audit` holds orders to, together with inventory and payment: audit all three. Every row is a violation. Between
-- services these hold when nothing is in flight; --watch waits for that.

-- money: a payment that is kept is that of a confirmed order, to the cent, and the other way round
SELECT coalesce(o.order_id, p.order_id), 'order ' || coalesce(o.state, 'unknown') || ' of ' || coalesce(o.total_cents, 0) || ' cents, payment '
    || coalesce(p.state, 'none') || ' of ' || coalesce(p.amount_cents, 0)
FROM "order".orders o FULL JOIN payment.order_payment p ON p.order_id = o.order_id
WHERE iif(o.state = 'confirmed', o.total_cents, 0) <> iif(p.state = 'taken', p.amount_cents, 0)
    OR (p.order_id IS NOT NULL AND o.order_id IS NULL);

-- charged: all that was charged less all that was refunded is all that confirmed orders cost
SELECT 'sum', kept || ' cents kept, ' || owed || ' owed' FROM
    (SELECT coalesce(sum(amount_cents), 0) AS kept FROM payment.order_payment WHERE state = 'taken'),
    (SELECT coalesce(sum(total_cents), 0) AS owed FROM "order".orders WHERE state = 'confirmed')
WHERE kept <> owed;

-- stock: what inventory holds for an order is what a confirmed order asked for
SELECT order_id, sku || ': ' || sum(ordered) || ' ordered, ' || sum(held) || ' held' FROM
    (SELECT l.order_id, l.sku, l.quantity AS ordered, 0 AS held FROM "order".order_line l JOIN "order".orders o USING (order_id) WHERE o.state = 'confirmed'
    UNION ALL SELECT order_id, sku, 0, quantity FROM inventory.reservation WHERE state = 'held')
GROUP BY order_id, sku HAVING sum(ordered) <> sum(held);

-- in_time: every order is final within its deadline
SELECT order_id, state || ', ' || ((ms - deadline) / 1000) || ' s late' FROM "order".orders, clock
WHERE state IN ('reserving', 'paying') AND deadline + 30000 < ms;

-- placed_or_dead: every order that was delivered is known, waits or is a dead letter
SELECT d.event_id, d.topic || '/' || d.partition || '@' || d.offset FROM delivered d
WHERE d.service = 'order' AND d.type = 'order.PlaceOrder' AND NOT EXISTS (SELECT 1 FROM "order".orders o WHERE o.order_id = CAST(d.key AS TEXT))
    AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.service = 'order' AND w.event_id = d.event_id)
    AND NOT EXISTS (SELECT 1 FROM dead x WHERE x.service = 'order' AND x.event_id = d.event_id AND x.state <> 'resolved');

-- one_saga: an order is in one shard
SELECT order_id, 'is in ' || count(*) || ' shards' FROM "order".orders GROUP BY order_id HAVING count(*) > 1;
