-- SPDX-License-Identifier: MIT
-- What `bus audit` holds payment to. Every row is a violation.

-- amounts_positive: nothing is charged that is not owed
SELECT order_id, amount_cents || ' cents' FROM payment.order_payment WHERE amount_cents <= 0;

-- one_payment: an order has one payment
SELECT order_id, 'has ' || count(*) FROM payment.order_payment GROUP BY order_id HAVING count(*) > 1;
