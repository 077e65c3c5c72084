/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault.c - HashiCorp Vault and OpenBao. This file opens and closes an instance, and hands each
 * call to the engine that is mounted where the instance points to: kv.c, or a row of engine.c.
 */
#include "vault_int.h"

#include <string.h>

static enum hush_status vault_check(struct hush_provider *self, struct hush_op *op)
{
    return vault_options_check(HUSH_PROVIDER(struct vault, self), op);
}

/* What a wrapping token holds is given out once: it must not go with this process. */
static enum hush_status vault_check_wrapping(const struct vault *v, struct hush_op *op)
{
    if (v->auth_method != VAULT_AUTH_APPROLE || !v->approle_response_wrapping ||
        v->base.stash != NULL)
        return HUSH_OK;
    return hush_fail(op, HUSH_UNSUPPORTED,
                     "with approle_response_wrapping the login would use up the wrapping token of "
                     "%s, and be lost with this process: read it through the mount",
                     v->approle_secret_id_file);
}

static enum hush_status vault_open(struct hush_provider *self, struct hush_op *op)
{
    struct vault *v = HUSH_PROVIDER(struct vault, self);
    enum hush_status status = vault_options_settle(v, op);

    if (status == HUSH_OK)
        status = vault_check_wrapping(v, op);
    if (status != HUSH_OK)
        return status;
    self->flags = vault_engine(v)->flags;
    if (v->engine == 0 && v->kv == VAULT_KV_1)
        self->flags &= ~(unsigned)HUSH_HAS_VERSIONS;
    status = hush_http_new(op,
                           &(struct hush_http_config){
                               .ca_file = v->ca_file,
                               .ca_path = v->ca_path,
                               .cert_file = v->cert_path,
                               .key_file = v->key_path,
                               .server_name = v->tls_server_name,
                               .insecure = !v->ssl_verify,
                           },
                           &v->http);
    if (status == HUSH_OK)
        status = vault_token_init(v, op);
    if (status == HUSH_OK && v->revoke && v->auth_method != VAULT_AUTH_TOKEN)
        self->flags |= HUSH_GIVES_LOGIN_BACK;
    return status;
}

static void vault_close(struct hush_provider *self)
{
    struct vault *v = HUSH_PROVIDER(struct vault, self);

    if (v->http != NULL) { /* made last but the token */
        vault_token_done(v);
        hush_http_free(v->http);
        v->http = NULL;
    }
    vault_options_release(v);
}

static enum hush_status vault_fetch(struct hush_provider *self, struct hush_op *op,
                                    const struct hush_ref *ref, const struct hush_version *if_not,
                                    struct hush_value *out)
{
    struct vault *v = HUSH_PROVIDER(struct vault, self);

    return vault_engine(v)->fetch(v, op, ref, if_not, out);
}

static enum hush_status vault_list_entries(struct hush_provider *self, struct hush_op *op,
                                           const char *prefix, hush_emit_fn *emit, void *ctx)
{
    struct vault *v = HUSH_PROVIDER(struct vault, self);

    return vault_engine(v)->list(v, op, prefix, emit, ctx);
}

static enum hush_status vault_versions(struct hush_provider *self, struct hush_op *op,
                                       const char *path, hush_emit_fn *emit, void *ctx)
{
    struct vault *v = HUSH_PROVIDER(struct vault, self);
    const struct vault_engine *engine = vault_engine(v);

    if (engine->versions == NULL)
        return hush_fail(op, HUSH_UNSUPPORTED, "the engine %s has no versions", engine->name);
    return engine->versions(v, op, path, emit, ctx);
}

static enum hush_status vault_watch(struct hush_provider *self, struct hush_op *op,
                                    hush_changed_fn *changed, void *ctx)
{
    return vault_token_watch(HUSH_PROVIDER(struct vault, self), op, changed, ctx);
}

const struct hush_provider_ops hush_provider_vault = {
    .name = "vault",
    .summary = "HashiCorp Vault and OpenBao: KV, databases, PKI, SSH and other engines",
    .flags = HUSH_HAS_VERSIONS | HUSH_IS_MAP | HUSH_WATCH_IS_PARTIAL,
    .size = sizeof(struct vault),
    .options = vault_options,
    .check = vault_check,
    .advise = vault_advise,
    .open = vault_open,
    .close = vault_close,
    .fetch = vault_fetch,
    .list = vault_list_entries,
    .versions = vault_versions,
    .watch = vault_watch,
    .renew = vault_renew,
    .revoke = vault_revoke,
};
