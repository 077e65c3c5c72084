/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider.h - the contract between the filesystem and a secrets backend.
 *
 * A provider answers two questions: "what is the value of this secret?" (fetch) and "what is under
 * this prefix?" (list). It does not cache, retry, log above debug, start threads or know about
 * FUSE; the core does all of that once, for every provider.
 *
 *     new -> options filled in -> open -> fetch, list, … (any thread, any number at once)
 *                                      -> watch (one thread of the core's own)
 *                                      -> close -> free
 *
 * Threads:   open() runs before, and close() after, every other call on the same instance; the core
 *            calls close() even after a failed open(), never without open(). All other calls may
 *            run at the same time on several threads; a provider locks what it changes after
 *            open().
 *
 * Failure:   after a failed open() nothing is called but close(), and then perhaps open() again, on
 *            the same instance with the same options: so open() sets all that it uses, and may fill
 *            options in, but not so that the next open() reads them in another way.
 *
 * Blocking:  calls may block, but never past op->deadline_ns, and they return HUSH_CANCELED soon
 *            after hush_op_canceled(op) turns true. open() should not talk to the network: the
 *            mount comes up with its backends down.
 *
 * Memory:    arguments are borrowed for the length of the call. Results are written only on
 *            HUSH_OK, and then the caller owns them.
 *
 * Names:     ref->path and list prefixes are the backend's own names, raw bytes without NUL, at
 *            most HUSH_PATH_MAX; the core escapes what it shows and unescapes what it asks for.
 *            Where more than one name finds a secret, only the one that list() gives does so with
 *            exact_names: the rules of a mount say by name who may read it.
 */
#ifndef HUSH_PROVIDER_H
#define HUSH_PROVIDER_H

#include "core/environ.h"
#include "core/op.h"
#include "core/option.h"
#include "core/secret.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* -- Secrets ----------------------------------------------------------------------------------- */

enum {
    HUSH_VERSION_MAX = 63,
    HUSH_PATH_MAX = 2048, /* a secret's name in its backend, in bytes */
    HUSH_LEASE_MAX = 511,
    HUSH_FIELDS_MAX = 1024, /* in one secret */
};

/* Opaque to the core, compared only for equality; "" is "no version". */
struct hush_version {
    char text[HUSH_VERSION_MAX + 1];
};

/* One secret, or one version of it. */
struct hush_ref {
    const char *path; /* as the backend spells it, no leading '/' */
    struct hush_version
        version; /* "": the current one; else a number or a label as in NAME#VERSION */
    const struct hush_param *params; /* param.X of the path rules; NULL-name terminated, or NULL */
};

struct hush_param {
    const char *name;
    const char *value;
};

struct hush_meta {
    struct hush_version version;
    time_t modified;  /* wall clock; 0: unknown */
    time_t not_after; /* the backend stops honouring it then (wall clock); 0: never */
    uint32_t ttl_ms;  /* how long it may be cached; it can only shorten the configured ttl; 0: says
                         nothing */
    char lease[HUSH_LEASE_MAX + 1]; /* an id for renew() and revoke(); "": none */
    bool renewable;
    /* This fetch made it, and the next would make another: it is served for ttl_ms (which may then
     * be longer than the configured ttl; 0: until not_after), renewed or replaced ahead of its end,
     * and never asked for again before. */
    bool dynamic;
};

struct hush_field {
    char *name; /* owned; raw, any bytes but NUL */
    struct hush_secret *value;
};

/*
 * What fetch() gives: one consistent version with everything that belongs to it. A backend whose
 * secret is one opaque value gives .secret; one whose secret is a map gives .fields (in the order
 * to show) and .secret as the whole in JSON, made from the same answer.
 */
struct hush_value {
    struct hush_meta meta;
    struct hush_secret *secret; /* NULL only when .unchanged */
    struct hush_field *fields;  /* NULL: not a map */
    size_t field_count;
    bool unchanged; /* meta.version is still if_not; nothing else is set */
};

void hush_value_clear(struct hush_value *value); /* release what it owns and zero it */

/* Append a field; takes value's reference even on failure. The name is copied. */
__attribute__((warn_unused_result)) enum hush_status
hush_value_add_field(struct hush_op *op, struct hush_value *value, const char *name,
                     struct hush_secret *field);

enum hush_kind { HUSH_KIND_SECRET, HUSH_KIND_FOLDER };

struct hush_entry {
    const char *name; /* below the prefix, one path component, raw, borrowed */
    enum hush_kind kind;
};

/* Called once per entry; anything but HUSH_OK ends the listing and is returned. A name that is both
 * a secret and a folder is emitted twice. */
typedef enum hush_status hush_emit_fn(void *ctx, const struct hush_entry *entry);

/* What advise() says of an option; the text is a sentence that begins with its name. */
typedef void hush_advice_fn(void *ctx, const char *option, const char *text);

/* What watch() reports: the secret (or, for "", everything) may have changed, appeared or gone. */
typedef void hush_changed_fn(void *ctx, const char *path);

/* -- The provider ------------------------------------------------------------------------------ */

/* What a NULL function pointer cannot say. ops->flags is what the type can; an instance's own are
 * in struct hush_provider, where open() may change them. */
enum hush_provider_flags {
    HUSH_HAS_VERSIONS = 1u << 0,     /* fetch honours ref->version */
    HUSH_HAS_UNCHANGED = 1u << 1,    /* fetch honours if_not */
    HUSH_IS_LOCAL = 1u << 2,         /* never touches the network */
    HUSH_IS_MAP = 1u << 3,           /* secrets are maps: `as` defaults to directory */
    HUSH_GIVES_LOGIN_BACK = 1u << 4, /* revoke() is called for the login, too */
    /* Each fetch makes a new credential: never prefetch or retry. */
    HUSH_ONE_SECRET_PER_READ = 1u << 5,
    HUSH_WATCH_IS_PARTIAL = 1u << 6, /* some changes are not reported: listings age as without it */
};

/* Every provider instance begins with this member, called base; see HUSH_PROVIDER() below. */
struct hush_provider {
    const struct hush_provider_ops *ops;
    const char *instance;           /* "prod" in [provider/prod]; borrowed for its life */
    const struct hush_environ *env; /* the captured environment; borrowed; NULL: empty */
    _Atomic unsigned flags;         /* enum hush_provider_flags; ops->flags until open() */
    struct hush_stash *stash;       /* the core's; NULL: nothing outlives this process */
    bool exact_names;               /* the core's: see Names above */
    struct hush_listener *listener; /* likewise; NULL: nobody */
    struct hush_opening *opening;   /* call.c's */
};

struct hush_provider_ops {
    const char *name;                  /* type = NAME in the configuration: [a-z0-9-]+ */
    const char *summary;               /* one line, for --help and the manual */
    unsigned flags;                    /* enum hush_provider_flags */
    size_t size;                       /* of the whole instance, zeroed by the core */
    const struct hush_option *options; /* filled in before open(); ends with an all-zero row */

    /* Required. */
    enum hush_status (*open)(struct hush_provider *self, struct hush_op *op);
    void (*close)(struct hush_provider *self);
    /*
     * The secret ref names, whole. if_not is the version that the core has ("": none); with
     * HUSH_HAS_UNCHANGED the answer may be .unchanged if that is still the one.
     */
    enum hush_status (*fetch)(struct hush_provider *self, struct hush_op *op,
                              const struct hush_ref *ref, const struct hush_version *if_not,
                              struct hush_value *out);

    /* The rest is optional: NULL when the backend cannot. */
    /* What open() would refuse about the options alone (HUSH_CONFIG), for `hushfs check`: before
     * open(), maybe without one, and without the environment, so that what it may say is no fault.
     * NULL: nothing but what the table says. */
    enum hush_status (*check)(struct hush_provider *self, struct hush_op *op);

    /* What is no error, but hardly meant, likewise: options that have no effect beside the others,
     * what the mount's environment must bring. tell() of an option that is not given is dropped. */
    void (*advise)(struct hush_provider *self, hush_advice_fn *tell, void *ctx);

    /* Everything directly below prefix ("": the top; else a folder without trailing '/'), all
     * pages. HUSH_NOT_FOUND: there is no such folder. Never fetches a value. */
    enum hush_status (*list)(struct hush_provider *self, struct hush_op *op, const char *prefix,
                             hush_emit_fn *emit, void *ctx);

    /* Several secrets in one call: status and out have count entries, each written. An error only
     * if the call as a whole failed. */
    enum hush_status (*fetch_batch)(struct hush_provider *self, struct hush_op *op,
                                    const struct hush_ref *refs, size_t count,
                                    enum hush_status *status, struct hush_value *out);

    /* The versions of a secret, newest first, as entries whose name is the version. */
    enum hush_status (*versions)(struct hush_provider *self, struct hush_op *op, const char *path,
                                 hush_emit_fn *emit, void *ctx);

    /*
     * Block and report changes until op is canceled (then HUSH_CANCELED). The op has no deadline;
     * watch() sleeps until there is something to do: see hush_op_wait() and hush_op_waker().
     * Any other return: the core calls again after a pause and takes everything as changed.
     */
    enum hush_status (*watch)(struct hush_provider *self, struct hush_op *op,
                              hush_changed_fn *changed, void *ctx);

    /*
     * Leases (meta.lease). renew gives the new ttl_ms and renewable, the lease's id stays; if what
     * it gives is much shorter than before, the lease nears its end and the core fetches another.
     * HUSH_NOT_FOUND: the lease, or the login that it depended on, is gone. revoke: at unmount, for
     * each lease that is known; HUSH_UNSUPPORTED: not wanted. After these, where the instance has
     * HUSH_GIVES_LOGIN_BACK, with lease "": the login that it made for itself, if it has one.
     */
    enum hush_status (*renew)(struct hush_provider *self, struct hush_op *op, const char *lease,
                              struct hush_meta *meta);
    enum hush_status (*revoke)(struct hush_provider *self, struct hush_op *op, const char *lease);
};

/*
 * The stash: what an instance hands to the worker that comes after this one, which would otherwise
 * have to log in anew (and a lease dies with the login that made it; a wrapped secret id can be
 * unwrapped once). In the arena, wiped at unmount. name: [a-z0-9-]{1,31}, unique in the instance.
 * put replaces; secret NULL: remove; the caller keeps its reference. get: a reference for the
 * caller, or NULL. Without a stash put does nothing: that is `hushfs get`, where open() refuses
 * (HUSH_UNSUPPORTED) what would use something up for good.
 */
enum { HUSH_STASH_NAME_MAX = 31 };
struct hush_stash {
    enum hush_status (*put)(struct hush_stash *self, struct hush_op *op, const char *instance,
                            const char *name, struct hush_secret *secret);
    struct hush_secret *(*get)(struct hush_stash *self, const char *instance, const char *name);
};
enum hush_status hush_stash_put(struct hush_provider *self, struct hush_op *op, const char *name,
                                struct hush_secret *secret);
struct hush_secret *hush_stash_get(struct hush_provider *self, const char *name);

/*
 * What watch() learns of the instance as a whole before any reader meets it, such as a token that
 * could not be renewed; HUSH_OK: that is over. The core shows it, and logs when it changes. */
struct hush_listener {
    void (*told)(struct hush_listener *self, enum hush_status status, const char *why);
};
void hush_provider_tell(struct hush_provider *self, enum hush_status status, const char *why);

/* The instance behind self: struct vault *v = HUSH_PROVIDER(struct vault, self); */
#define HUSH_PROVIDER(type, self) ((type *)((char *)(self)-offsetof(type, base)))

#endif
