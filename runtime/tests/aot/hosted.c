/* Runs the kernels in hosted.mq. The exit status is 1 if something is wrong; what was thrown and printed is told. */
#include "hosted.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                                                                       \
    do {                                                                                                       \
        if (!(condition)) {                                                                                    \
            printf("line %d: %s\n", __LINE__, #condition);                                                     \
            return 1;                                                                                          \
        }                                                                                                      \
    } while (0)

static struct marq_group group_of(uint32_t id) {
    struct marq_group group;
    memset(&group, 0, sizeof group);
    group.group_id[0] = id;
    group.group_size[0] = 8;
    group.group_count[0] = 2;
    group.group_size[1] = group.group_size[2] = group.group_count[1] = group.group_count[2] = 1;
    group.subgroup_size = 32;
    return group;
}

int main(void) {
    /* Exceptions: the second group's fourth work-item is the first to throw. */
    struct marq_mailbox mailbox;
    int32_t numbers[16];
    struct fill_args fill_them;
    CHECK(sizeof mailbox == MARQ_MAILBOX_BYTES && sizeof(struct marq_print) == MARQ_PRINT_BYTES);
    CHECK(sizeof(struct marq_arena) == MARQ_ARENA_BYTES);
    for (int n = 0; n < 16; n++)
        numbers[n] = n == 11 || n == 13 ? 14 : 2;
    memset(&fill_them, 0, sizeof fill_them);
    fill_them.n = 16;
    fill_them.d = 2;
    fill_them.x = numbers;
    memset(&mailbox, 0, sizeof mailbox);
    fill_them.mailbox = &mailbox;
    for (uint32_t n = 0; n < 2; n++) {
        struct marq_group group = group_of(n);
        fill(&fill_them, &group, 0, 8, NULL);
        CHECK((mailbox.status == 0) == (n == 0));
    }
    CHECK(numbers[12] == 1 && numbers[11] == 14 && numbers[13] == 14);
    CHECK(mailbox.kernel == MARQ_fill_KERNEL);
    printf("%s: %d, %d\n", hosted_exception(mailbox.status), (int)(int32_t)mailbox.operands[0], (int)mailbox.operands[1]);
    printf("group %u, item %u\n", mailbox.group_id[0], mailbox.local_id[0]);
    CHECK(hosted_exception(0) == NULL && hosted_exception(99) == NULL);
    /* Without a mailbox nobody learns of it. */
    for (int n = 0; n < 16; n++)
        numbers[n] = n == 3 ? 14 : 2;
    fill_them.mailbox = NULL;
    for (uint32_t n = 0; n < 2; n++) {
        struct marq_group group = group_of(n);
        fill(&fill_them, &group, 0, 8, NULL);
    }
    CHECK(numbers[2] == 1 && numbers[3] == 14 && numbers[4] == 1 && numbers[15] == 1);
    fill_them.d = 0;
    for (uint32_t n = 0; n < 2; n++) {
        struct marq_group group = group_of(n);
        fill(&fill_them, &group, 0, 8, NULL);
    }

    /* Lines: three work-items print two each, and five of the six fit. */
    uint64_t lines[MARQ_PRINT_BYTES / 8 + 3 * 3 + 2 * 2];
    struct tell_args tell_it;
    struct marq_group group = group_of(0);
    memset(&tell_it, 0, sizeof tell_it);
    tell_it.errno_ = -5;
    tell_it.x = 0.5f;
    tell_it.print = (struct marq_print *)lines;
    marq_print_start(lines, sizeof lines);
    tell(&tell_it, &group, 0, 3, NULL);
    CHECK(tell_it.print->dropped == 1);
    const uint64_t *word = lines + MARQ_PRINT_BYTES / 8, *end = word + tell_it.print->used;
    while (word != end) {
        uint32_t format = (uint32_t)*word, count = (uint32_t)(*word >> 32);
        CHECK(hosted_format(format) != NULL);
        printf("[%s] (%s):", hosted_format(format), hosted_format_types(format));
        for (uint32_t n = 1; n <= count; n++)
            printf(" %llx", (unsigned long long)word[n]);
        puts("");
        word += 1 + count;
    }
    tell_it.print = NULL;
    tell(&tell_it, &group, 0, 3, NULL);
    CHECK(hosted_format(2) == NULL);

    /* Memory: of four work-items three find some. */
    MARQ_ALIGN(16) uint64_t memory[2 + 3 * 4];
    uint64_t found[4] = {0, 0, 0, 0};
    struct boxes_args boxes_here;
    memset(&boxes_here, 0, sizeof boxes_here);
    boxes_here.x = found;
    boxes_here.bytes = 24;
    boxes_here.arena = (struct marq_arena *)memory;
    marq_arena_start(memory, sizeof memory);
    boxes(&boxes_here, &group, 0, 4, NULL);
    for (int n = 0; n < 3; n++)
        CHECK(found[n] == (uint64_t)(uintptr_t)(memory + 2 + 4 * n) && memory[2 + 4 * n] == (uint64_t)n);
    CHECK(found[3] == 0 && boxes_here.arena->used == 6);
    found[0] = found[1] = 1;
    boxes_here.arena = NULL;
    boxes(&boxes_here, &group, 0, 2, NULL);
    CHECK(found[0] == 0 && found[1] == 0);

    /* Shared memory. */
    MARQ_ALIGN(64) char shared[MARQ_count_SHARED_BYTES];
    memset(shared, 0, sizeof shared);
    struct count_args count_them;
    memset(&count_them, 0, sizeof count_them);
    count_them.x = numbers;
    group.shared = shared;
    for (int n = 0; n < 8; n++)
        numbers[n] = n;
    count(&count_them, &group, 0, 8, NULL);
    CHECK(numbers[7] == 21);
    return 0;
}
