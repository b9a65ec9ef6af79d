//! What stands in every header, or in every one with kernels: the same text wherever it is, so that C may include several.

/// Behind the guard.
pub(super) const START: &str = "\
#include <stdbool.h>
#include <stdint.h>

#ifndef MARQ_ALIGN
#if defined __cplusplus
#define MARQ_ALIGN(bytes) alignas(bytes)
#elif defined __STDC_VERSION__ && __STDC_VERSION__ >= 201112L
#define MARQ_ALIGN(bytes) _Alignas(bytes)
#elif defined _MSC_VER
#define MARQ_ALIGN(bytes) __declspec(align(bytes))
#else
#define MARQ_ALIGN(bytes) __attribute__((aligned(bytes)))
#endif
#endif

#ifdef __cplusplus
extern \"C\" {
#endif
";

/// At the end.
pub(super) const END: &str = "
#ifdef __cplusplus
}
#endif

#endif
";

/// What C must know to run kernels: `marquetry_codegen::native::context`. `{OPS}` stands for the operations of sub-groups.
pub(super) const GROUP: &str = "
/* Kernels run the work-items `first` to before `end` of a group, numbered with the first dimension fastest. Where a
 * kernel's work-items meet, each must be run on a stack of its own, and `barrier` and `subgroup` must wait for the others;
 * else these two are never called. `shared` is the group's shared memory, if the kernel says that it needs some; who launches
 * groups at a time gives each its own. `stack` may be null.
 *
 * Sub-groups: `op` is {OPS}; 256 more where values have 64 bits. `site` tells the places apart where work-items meet. */
#ifndef MARQ_GROUP
#define MARQ_GROUP
struct marq_group {
    uint32_t group_id[3];
    uint32_t group_size[3];
    uint32_t group_count[3];
    uint32_t subgroup_size;
    void *shared;
    void (*barrier)(const void *item, uint64_t site);
    uint64_t (*subgroup)(const void *item, uint64_t op, uint64_t value, uint64_t lane, uint64_t site);
    const void *scheduler;
};

/* What `item` leads to. */
struct marq_item {
    const struct marq_group *group;
    uint32_t local_id[3];
    uint32_t linear;
};
#endif
";

/// `marquetry_lower::exceptions::record::Record`.
pub(super) const MAILBOX: &str = "
/* Where a launch leaves what it threw; all zeros at its start. `status` stays 0 if nothing is thrown. Else the first
 * work-item that throws leaves the status, the number of its kernel, its place, and the operands of the exception. A kernel
 * may get null in place of a mailbox: then nobody learns what it threw. */
#ifndef MARQ_MAILBOX
#define MARQ_MAILBOX
#define MARQ_MAILBOX_BYTES 64
struct marq_mailbox {
    uint32_t status;
    uint32_t kernel;
    uint32_t group_id[3];
    uint32_t local_id[3];
    uint64_t operands[4];
};
#endif
";

/// `marquetry_lower::runtime::print`.
pub(super) const PRINT: &str = "
/* The start of a print buffer. Behind it are `words` words of 64 bits, and `used` of them are written: records, each of the
 * number of its format, plus the number of its operands shifted left by 32, and then the operands, integers and the bits of
 * floats, with zeros above. `dropped` records did not fit. A kernel may get null in place of a buffer: then it prints
 * nothing. */
#ifndef MARQ_PRINT
#define MARQ_PRINT
#define MARQ_PRINT_BYTES 16
struct marq_print {
    uint32_t used;
    uint32_t words;
    uint32_t dropped;
    uint32_t none;
};

/* Makes memory of so many bytes, at least MARQ_PRINT_BYTES and aligned to 8, an empty print buffer. */
static inline void marq_print_start(void *memory, uint64_t bytes) {
    struct marq_print *print = (struct marq_print *)memory;
    uint64_t words = bytes < MARQ_PRINT_BYTES ? 0 : (bytes - MARQ_PRINT_BYTES) / 8;
    print->words = words > 0xffffffffu ? 0xffffffffu : (uint32_t)words;
    print->used = print->dropped = print->none = 0;
}
#endif
";

/// `marquetry_lower::runtime::inputs`.
pub(super) const ARENA: &str = "
/* The start of an arena: `used` of the `units` units of 16 bytes behind it are allocated. All launches may share one, or each
 * may have its own. A kernel may get null in place of an arena: then there is no memory left from the start. */
#ifndef MARQ_ARENA
#define MARQ_ARENA
#define MARQ_ARENA_BYTES 16
struct marq_arena {
    uint32_t used;
    uint32_t units;
    uint32_t none[2];
};

/* Makes memory of so many bytes, at least MARQ_ARENA_BYTES and aligned to 16, an empty arena. */
static inline void marq_arena_start(void *memory, uint64_t bytes) {
    struct marq_arena *arena = (struct marq_arena *)memory;
    uint64_t units = bytes < MARQ_ARENA_BYTES ? 0 : (bytes - MARQ_ARENA_BYTES) / 16;
    arena->units = units > 0xffffffffu ? 0xffffffffu : (uint32_t)units;
    arena->used = arena->none[0] = arena->none[1] = 0;
}
#endif
";
