/* Loads an image by nothing but what runtime/src/image/mod.rs says about the file, and calls what is in it: no line of the
 * crate's own loader runs here. The exit status is 0 if all is well, and else says what is not. */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STRINGS, STRING_TABLE, CONFIGS, SYMBOLS, WORDS, DEFINITIONS, ENTRIES, INDEX, DETAILS, TEXT, CONSTANTS, DATA, PARTS };

static unsigned char *image;
static uint64_t begin[PARTS], bytes[PARTS];

static uint32_t u32(const unsigned char *place) {
    return place[0] | (uint32_t)place[1] << 8 | (uint32_t)place[2] << 16 | (uint32_t)place[3] << 24;
}

static uint64_t u64(const unsigned char *place) { return u32(place) | (uint64_t)u32(place + 4) << 32; }

static unsigned char *row(int part, uint32_t number, uint32_t size) { return image + begin[part] + number * size; }

static int is(uint32_t string, const char *text) {
    const unsigned char *known = row(STRING_TABLE, string, 8);
    return u32(known + 4) == strlen(text) && !memcmp(row(STRINGS, 0, 0) + u32(known), text, strlen(text));
}

static int64_t host_add(int64_t x) { return x + 1000; }

/* What a symbol is the address of: a function of this host, or a routine that works as the one of the C library does. */
static uint64_t address_of(const unsigned char *symbol) {
    uint32_t kind = u32(symbol), name = u32(symbol + 4);
    if (kind == 1 && is(name, "host_add"))
        return (uint64_t)(uintptr_t)host_add;
    if (kind == 0 && is(name, "memmove"))
        return (uint64_t)(uintptr_t)memmove;
    if (kind == 0 && is(name, "memset"))
        return (uint64_t)(uintptr_t)memset;
    if (kind == 0 && is(name, "FloorF64"))
        return (uint64_t)(uintptr_t)floor;
    if (kind == 0 && is(name, "FmaF64"))
        return (uint64_t)(uintptr_t)fma;
    printf("symbol %u of kind %u\n", name, kind);
    return 0;
}

typedef uint32_t packed(const void *args, void *results, const void *stack);

/* Gives the status. */
static uint32_t call(const char *name, int64_t argument, int64_t *result) {
    /* Blocks are little-endian. */
    unsigned char args[8], results[8];
    for (int n = 0; n < 8; n++)
        args[n] = (uint64_t)argument >> 8 * n;
    for (uint32_t n = 0; n < bytes[ENTRIES] / 64; n++) {
        const unsigned char *entry = row(ENTRIES, n, 64);
        if (is(u32(entry + 8), name)) {
            uint32_t status = ((packed *)(image + begin[TEXT] + u32(entry + 28)))(args, results, 0);
            *result = u64(results);
            return status;
        }
    }
    printf("no %s\n", name);
    return 99;
}

int main(int count, char **values) {
    struct stat file;
    int opened = count == 3 ? open(values[1], O_RDONLY) : -1;
    if (opened < 0 || fstat(opened, &file))
        return 2;
    image = mmap(0, file.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, opened, 0);
    if (image == MAP_FAILED || memcmp(image, "\x89MARQ\r\n\x1a", 8) || u32(image + 8) != 4 || u32(image + 12) != 256)
        return 3;
    if (u64(image + 24) != (uint64_t)file.st_size)
        return 4;
    for (int part = 0; part < PARTS; part++) {
        begin[part] = u64(image + 48 + 16 * part);
        bytes[part] = u64(image + 48 + 16 * part + 8);
    }
    if (!is(u32(image + 36), values[2]))
        return 5;
    for (uint32_t n = 0; n < bytes[WORDS] / 24; n++) {
        const unsigned char *word = row(WORDS, n, 24);
        uint32_t target = u32(word + 8);
        uint64_t address;
        if (target >> 31) {
            address = (uint64_t)(uintptr_t)(image + begin[target & 0x7fffffff]);
        } else {
            address = address_of(row(SYMBOLS, target, 12));
            if (!address)
                return 6;
        }
        address += u64(word + 16);
        memcpy(image + begin[u32(word)] + u32(word + 4), &address, 8);
    }
    unsigned char *text = image + begin[TEXT];
    __builtin___clear_cache((char *)text, (char *)text + bytes[TEXT]);
    if (mprotect(text, bytes[TEXT], PROT_READ | PROT_EXEC))
        return 7;

    int64_t result = 0;
    if (call("fib(i64)", 20, &result) || result != 6765)
        return 10;
    /* Memory of the image, an address in its constants, a function of the host, and a call by address. */
    if (call("there(i64)", 7, &result) || result != 1000 + 14 + 5 + 3)
        return 11;
    if (call("there(i64)", 7, &result) || result != 1000 + 14 + 14 + 3)
        return 12;
    /* Constants of one, four and eight bytes. */
    if (call("weighed(i64)", 1, &result) || result != 7 + 256 + 1000)
        return 15;
    if (call("weighed(i64)", 2, &result) || result != 7 + 65536 + 1000)
        return 16;
    if (call("routines(i64)", 5, &result) || result != 12 + 3)
        return 17;
    if (call("far(i64)", 1, &result) || result != 2002 + 1000)
        return 18;
    if (call("address_there(i64)", 1, &result) || result != (int64_t)(uintptr_t)host_add)
        return 19;
    if (call("divided(i64)", 0, &result) == 0)
        return 13;
    if (call("divided(i64)", 5, &result) || result != 20)
        return 14;
    puts("all is well");
    return 0;
}
