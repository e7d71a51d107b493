-- SPDX-License-Identifier: MIT
-- What `bus audit` holds inventory to. Every row is a violation.

-- stock_conserved: what was delivered is available or reserved
SELECT coalesce(s.sku, d.sku), coalesce(d.quantity, 0) || ' delivered, ' || coalesce(s.available, 0) || ' available, ' || coalesce(s.reserved, 0) || ' reserved'
FROM (SELECT sku, sum(quantity) AS quantity FROM inventory.delivery GROUP BY sku) d FULL JOIN inventory.stock s ON s.sku = d.sku
WHERE coalesce(d.quantity, 0) <> coalesce(s.available, 0) + coalesce(s.reserved, 0);

-- stock_not_negative: nothing is sold that is not there
SELECT sku, available || ' available, ' || reserved || ' reserved' FROM inventory.stock WHERE available < 0 OR reserved < 0;

-- reserved_is_held: what is reserved is held for orders
SELECT s.sku, s.reserved || ' reserved, ' || coalesce(h.quantity, 0) || ' held' FROM inventory.stock s
LEFT JOIN (SELECT sku, sum(quantity) AS quantity FROM inventory.reservation WHERE state = 'held' GROUP BY sku) h ON h.sku = s.sku
WHERE s.reserved <> coalesce(h.quantity, 0);

-- one_shard: an item lives in one shard
SELECT sku, 'is in ' || count(*) || ' shards' FROM inventory.stock GROUP BY sku HAVING count(*) > 1;
