/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.c - leases: how long one lasts, renew and revoke. The server drops a lease with the token
 * that made it, without saying so in lease_duration; that is why meta.lease is
 * "GENERATION:LEASE-ID", with the generation of the login.
 */
#include "lease.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* -- How long ---------------------------------------------------------------------------------- */

/* Seconds until the token of generation ends for good, as far as that is known. */
static uint32_t lease_token_left(struct vault *v, uint32_t generation)
{
    const uint64_t now_ns = hush_now_ns();
    uint64_t end_ns;

    hush_lock_scope(&v->token.lock);
    if (v->token.generation != generation)
        return UINT32_MAX; /* another login's end says nothing */
    end_ns = v->token.renewable ? v->token.hard_end_ns : v->token.end_ns;
    if (end_ns == 0 || end_ns <= now_ns)
        return UINT32_MAX; /* an answer came: it cannot have ended */
    return (uint32_t)((end_ns - now_ns) / HUSH_NS_PER_S);
}

static uint32_t lease_ttl_ms(struct vault *v, uint32_t duration_s, uint32_t generation)
{
    const uint32_t left_s = lease_token_left(v, generation);

    return vault_ms(duration_s < left_s ? duration_s : left_s);
}

void vault_lease_meta(struct vault *v, const struct vault_lease *lease, uint32_t generation,
                      struct hush_meta *meta)
{
    int size;

    if (lease->id[0] == '\0')
        return;
    size = snprintf(meta->lease, sizeof(meta->lease), "%" PRIu32 ":%s", generation, lease->id);
    if (size < 0 || (size_t)size >= sizeof(meta->lease))
        meta->lease[0] = '\0'; /* half an id is none: it ends by itself */
    meta->renewable = lease->renewable && meta->lease[0] != '\0';
    if (lease->duration_s != 0)
        meta->ttl_ms = lease_ttl_ms(v, lease->duration_s, generation);
}

/* -- renew and revoke -------------------------------------------------------------------------- */

/* "7:database/creds/app/…": the id; NULL: not one of ours. */
static const char *lease_split(const char *lease, uint64_t *generation)
{
    const char *colon = strchr(lease, ':');
    char digits[12];

    if (colon == NULL || (size_t)(colon - lease) >= sizeof(digits))
        return NULL;
    memcpy(digits, lease, (size_t)(colon - lease));
    digits[colon - lease] = '\0';
    return hush_parse_u64(digits, UINT32_MAX, generation) ? colon + 1 : NULL;
}

static enum hush_status lease_post(struct vault *v, struct hush_op *op, const char *path,
                                   const char *id, struct hush_http_answer *out,
                                   uint32_t *generation)
{
    const struct hush_jtree_row rows[] = {{.name = "lease_id", .text = id}, {.name = NULL}};
    struct vault_request request = {.method = "POST", .path = path};
    char *body = NULL;
    enum hush_status status = hush_jtree_write(op, rows, &body, &request.body_size);

    if (status != HUSH_OK)
        return status;
    request.body = body;
    status = vault_call(v, op, &request, out, generation);
    hush_jtree_text_free(body);
    return status;
}

static enum hush_status lease_other_login(struct hush_op *op)
{
    return hush_fail(op, HUSH_NOT_FOUND, "the login that the lease was made under has ended");
}

enum hush_status vault_renew(struct hush_provider *self, struct hush_op *op, const char *lease,
                             struct hush_meta *meta)
{
    struct vault *v = HUSH_PROVIDER(struct vault, self);
    struct hush_http_answer answer = {0};
    struct hush_jtree *root = NULL;
    struct vault_lease renewed;
    uint64_t made_under;
    uint32_t generation = 0, left_s;
    const char *id = lease_split(lease, &made_under);
    enum hush_status status;

    if (id == NULL)
        return hush_fail(op, HUSH_NOT_FOUND, "not a lease of this instance");
    if (vault_token_left(v, &left_s) != made_under)
        return lease_other_login(op);
    status = lease_post(v, op, "sys/leases/renew", id, &answer, &generation);
    if (status != HUSH_OK)
        return status;
    status = hush_jtree_parse(op, answer.body, answer.size, &root);
    hush_http_answer_clear(&answer);
    if (status != HUSH_OK)
        return status;
    vault_lease_read(root, &renewed);
    hush_jtree_free(root);
    if (generation != made_under)
        return lease_other_login(op);
    if (renewed.duration_s == 0)
        return hush_fail(op, HUSH_NOT_FOUND, "the lease has nothing left");
    meta->ttl_ms = lease_ttl_ms(v, renewed.duration_s, generation);
    meta->renewable = renewed.renewable;
    return HUSH_OK;
}

enum hush_status vault_revoke(struct hush_provider *self, struct hush_op *op, const char *lease)
{
    struct vault *v = HUSH_PROVIDER(struct vault, self);
    struct hush_http_answer answer = {0};
    uint64_t made_under;
    const char *id = lease_split(lease, &made_under);
    enum hush_status status;

    if (!v->revoke)
        return hush_fail(op, HUSH_UNSUPPORTED, "leases are left to end by themselves: revoke = no");
    if (lease[0] == '\0')
        return vault_token_revoke(v, op);
    if (id == NULL)
        return hush_fail(op, HUSH_NOT_FOUND, "not a lease of this instance");
    status = lease_post(v, op, "sys/leases/revoke", id, &answer, NULL);
    hush_http_answer_clear(&answer);
    return status == HUSH_NOT_FOUND ? HUSH_OK : status; /* gone is gone */
}
