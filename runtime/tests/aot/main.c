/* Calls everything in library.mq and kernels.mq. The exit status is the line of what went wrong, or 0. */
#include "kernels.h"
#include "library.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                       \
    do {                                                                                                       \
        if (!(condition)) {                                                                                    \
            printf("line %d: %s\n", __LINE__, #condition);                                                     \
            return 1;                                                                                          \
        }                                                                                                      \
    } while (0)

int main(void) {
    CHECK(add(INT32_MAX, 1) == INT32_MIN);
    CHECK(narrow(100, 300, true) == (int8_t)(100 + 300));
    CHECK(narrow(100, 300, false) == -1);
    CHECK(narrow(-128, -1, true) == 127);
    CHECK(is_less(1.0f, 2.0f) == true && is_less(2.0f, 1.0f) == false);
    CHECK(many(1, 0.5, 2, 0.25, 3, 4, 5, 6, 7, 8.0f) == 14.0 + 0.75 + 8.0);

    int32_t low = 0, high = 0;
    minmax(9, -4, &low, &high);
    CHECK(low == -4 && high == 9);

    int32_t quotient = 77;
    CHECK(half(-9, 2, &quotient) == 0 && quotient == -4);
    CHECK(half(1, 0, &quotient) != 0);
    CHECK(half(INT32_MIN, -1, &quotient) != half(1, 0, &quotient) || half(1, 0, &quotient) != 0);
    CHECK(check(true) == 0);
    CHECK(check(false) != 0);
    CHECK(within(3, 4, &quotient) == 0 && quotient == 3);
    CHECK(within(5, 4, &quotient) != 0);

    struct point p = {1.5, -2.5}, q;
    flip(&p, &q);
    CHECK(q.x == -2.5 && q.y == 1.5);
    struct mixed m = {-3, 1000000000000, 0.5f, {7, 8, 9}, {1.0, 0.25}};
    CHECK(sizeof m == 48 && offsetof(struct mixed, p) == 32);
    CHECK(mixed_sum(&m) == -3.0 + 1e12 + 0.5 + 9.0 + 0.25);

    const float a[4] = {1, 2, 3, 4}, b[4] = {0.5, 0.25, 2, 1};
    CHECK(dot(a, b) == 0.5f + 0.5f + 6.0f + 4.0f);
    float c[4];
    scaled(a, 2.0f, c);
    CHECK(c[0] == 2 && c[1] == 4 && c[2] == 6 && c[3] == 8);
    uint64_t w[2], r[2];
    const int one = 1;
    const int lo = *(const char *)&one ? 0 : 1, hi = 1 - lo;
    w[lo] = 3;
    w[hi] = 9;
    wide(w, r);
    CHECK(r[lo] == 5 && r[hi] == 3);
    CHECK(double_half(0x3c00) == 0x4000);

    int32_t numbers[3] = {1, 2, 3};
    bump(numbers, 3);
    CHECK(numbers[2] == 4 && numbers[0] == 1);
    CHECK(fib(20) == 6765);
    CHECK(length("marquetry") == 9);
    CHECK(count() == 41 && count() == 42);
    CHECK(where_am_i() == 1);
    CHECK(twice_i32(21) == 42 && twice_f64(1.25) == 2.5);
    CHECK(odd_name(4) == 8);

    enum { N = 1000, BLOCK = 64 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    for (int i = 0; i < N; i++) {
        x[i] = (float)i;
        y[i] = 1.0f;
    }
    struct saxpy_args args = {.n = N, .a = 2.0f, .x = x, .y = y};
    const uint32_t groups = (N + BLOCK - 1) / BLOCK;
    for (uint32_t g = 0; g < groups; g++) {
        struct marq_group group = {
            .group_id = {g, 0, 0}, .group_size = {BLOCK, 1, 1}, .group_count = {groups, 1, 1}, .subgroup_size = 32};
        saxpy(&args, &group, 0, BLOCK, NULL);
    }
    for (int i = 0; i < N; i++) {
        CHECK(y[i] == 2.0f * (float)i + 1.0f);
    }
    free(x);
    free(y);
    puts("all is well");
    return 0;
}
