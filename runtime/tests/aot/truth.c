/* Loads what another process compiled, and says what of it does what it should. */
#include "truth.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

char marq_value_config[8], marq_value_odd$20name$231[8];
struct counter {
    int64_t tag, count;
};
int64_t host_counter = 40;
int64_t host_add(int64_t a, int64_t b) { return a + b; }
int64_t fib(int64_t n) { return -n; } /* not the library's */

static void say(const char *what, int fine) { printf("%s: %s\n", what, fine ? "as it should" : "WRONG"); }

#define FIND(library, name) __typeof__(&name) own_##name = (__typeof__(&name))dlsym(library, #name)

int main(void) {
    void *library = dlopen("./libtruth.so", RTLD_NOW | RTLD_LOCAL);
    void *again = dlopen("./libagain.so", RTLD_NOW | RTLD_LOCAL);
    if (!library || !again) {
        puts(dlerror());
        return 1;
    }
    FIND(library, add_i64);
    FIND(library, add_i64_i64);
    say("integers", own_add_i64(INT64_MAX) == INT64_MIN && own_add_i64_i64(40, 2) == 42);
    FIND(library, exponential);
    FIND(library, single);
    say("floats", fabs(own_exponential(1.0) - 2.718281828459045) < 1e-15 && own_single(1.5f, 3) == 5.0f);
    FIND(library, scaled);
    struct point p = {1.5, -2.0}, r;
    own_scaled(&p, 2.0, &r);
    say("structs", r.x == 3.0 && r.y == -4.0 && p.x == 1.5);
    FIND(library, concat);
    FIND(library, greet);
    char out[64];
    int fine = own_concat("marque", "try", out) == 9 && !strcmp(out, "marquetry");
    say("strings", fine && own_greet(out, out + 16) == 16 && !strcmp(out + 16, "hello, marquetry"));
    FIND(library, name);
    FIND(library, is_config);
    __typeof__(&name) other_name = (__typeof__(&name))dlsym(again, "name");
    int64_t words[3] = {0}, others[3] = {0}, none;
    fine = own_name != other_name && own_name(3, &none) != 0;
    for (int64_t n = 0; n < 3; n++) {
        fine = fine && own_name(n, &words[n]) == 0 && other_name(n, &others[n]) == 0 && words[n] == others[n];
    }
    fine = fine && words[0] == (int64_t)marq_value_config && words[1] == (int64_t)marq_value_odd$20name$231;
    say("symbols given back", fine && words[2] == (int64_t)&host_counter);
    say("symbols compared", own_is_config(words[0]) && !own_is_config(words[1]) && !own_is_config(0));
    FIND(library, count);
    struct counter mine = {words[0], 6}, foreign = {words[1], 6};
    int64_t new = 0;
    fine = own_count(&mine, &new) == 0 && new == 7 && mine.count == 7;
    say("mutation with symbols compared", fine && own_count(&foreign, &new) != 0 && foreign.count == 6);
    FIND(library, count_there);
    fine = own_count_there() == 1 && own_count_there() == 2 && host_counter == 42;
    fine = fine && ((__typeof__(&count_there))dlsym(again, "count_there"))() == 1 && host_counter == 43;
    say("mutation of the host's memory", fine);
    FIND(library, closed);
    FIND(library, apply);
    struct closure plus, times;
    int64_t sum = 0, product = 0, tripled = 0;
    fine = own_closed(0, 40, 1.0, &plus) == 0 && own_closed(1, 6, 0.5, &times) == 0 && plus.code != times.code;
    fine = fine && own_apply(&plus, 2, &sum) == 0 && sum == 42 && own_apply(&times, 14, &product) == 0 && product == 42;
    /* One library's closure, called by the other one. */
    __typeof__(&apply) other_apply = (__typeof__(&apply))dlsym(again, "apply");
    fine = fine && other_apply(&plus, 3, &sum) == 0 && sum == 43;
    FIND(library, triple);
    say("closures", fine && own_closed(2, 0, 0, &plus) != 0 && own_triple(5, &tripled) == 0 && tripled == 15);
    FIND(library, through_host);
    say("calls to the host", own_through_host(16) == 42);
    FIND(library, fib);
    FIND(library, is_even);
    int64_t even = 0, odd = 1;
    fine = own_fib(20) == 6765 && own_is_even(100, &even) == 0 && own_is_even(101, &odd) == 0;
    say("recursion", fine && even == 1 && odd == 0);
    FIND(library, divide);
    int64_t quotient = 77;
    uint32_t zero = own_divide(1, 0, &quotient), over = own_divide(INT64_MIN, -1, &quotient);
    fine = zero != 0 && zero != own_count(&foreign, &new) && own_divide(84, 2, &quotient) == 0 && quotient == 42;
    say("exceptions", fine && (over != 0 || quotient == 42));
    say("what is not exported", !dlsym(library, "turns") && !dlsym(library, "plus"));
    return dlclose(again) || dlclose(library);
}
