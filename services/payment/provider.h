/* SPDX-License-Identifier: MIT
 * Provider: a simulated payment provider, the foreign system that a shop cannot have in its transaction. It keeps its
 * books in a file of its own and answers one idempotency key always alike, as real ones do.
 *
 *   card "tok_declined..."   declined: insufficient funds          card "tok_busy..."   fails once, then charges
 *   amount over 1,000,000    declined: over the card's limit       card "tok_lost..."   charges, but its first answer is lost
 *   card not "tok_..."       refused: malformed request            file "down" in its directory: no answer at all */
#ifndef SHOP_PAYMENT_PROVIDER_H
#define SHOP_PAYMENT_PROVIDER_H

#include <stdbool.h>
#include <stdint.h>

#define PROVIDER_TEXT_MAX 80
#define PROVIDER_LIMIT_CENTS 1000000

typedef enum provider_outcome {
    PROVIDER_CHARGED,   /* text: the reference */
    PROVIDER_DECLINED,  /* text: the reason */
    PROVIDER_REFUNDED,  /* text: the refund's reference */
    PROVIDER_NOTHING,   /* to refund: the key charged nothing */
    PROVIDER_MALFORMED, /* the request is wrong and stays so; text says why */
    PROVIDER_BUSY,      /* try again; the request may have been carried out all the same */
    PROVIDER_DOWN       /* nobody answers */
} provider_outcome;

typedef struct provider_answer {
    provider_outcome outcome;
    char text[PROVIDER_TEXT_MAX];
} provider_answer;

typedef struct provider provider;

/* Opens the provider's books in a directory, made if it is absent. NULL: `why` says what failed. */
provider *provider_open(const char *directory, char *why, int cap);
void provider_close(provider *p); /* NULL is a no-op */

/* Both block, and may be called from any thread. `key` is the idempotency key: a second call with it changes nothing
 * and gets the first one's answer; with another amount or card it is malformed. A refund names its charge's key. */
provider_answer provider_charge(provider *p, const char *key, const char *card, int64_t amount_cents);
provider_answer provider_refund(provider *p, const char *charge_key);

#endif
