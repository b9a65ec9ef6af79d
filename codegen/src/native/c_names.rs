//! Names in C: what an identifier is, and which ones mean something already.

use super::c_macros::is_macro;

/// What cannot be declared in C or C++ behind the headers that ours includes, though it looks like a name: keywords, types,
/// and macros of single systems. Sorted.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "NULL", "_Alignas", "_Alignof", "_Atomic", "_Bool", "_Complex", "_Generic", "_Imaginary", "_Noreturn",
    "_Static_assert", "_Thread_local", "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor",
    "bool", "break", "case", "catch", "char", "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return",
    "co_yield", "compl", "concept", "const", "const_cast", "consteval", "constexpr", "constinit", "continue",
    "decltype", "default", "delete", "do", "double", "dynamic_cast", "else", "enum", "explicit", "export", "extern",
    "false", "float", "for", "friend", "goto", "if", "inline", "int", "int16_t", "int32_t", "int64_t", "int8_t",
    "int_fast16_t", "int_fast32_t", "int_fast64_t", "int_fast8_t", "int_least16_t", "int_least32_t", "int_least64_t",
    "int_least8_t", "intmax_t", "intptr_t", "linux", "long", "max_align_t", "mutable", "namespace", "new", "noexcept",
    "not", "not_eq", "nullptr", "operator", "or", "or_eq", "private", "protected", "ptrdiff_t", "public", "register",
    "reinterpret_cast", "requires", "restrict", "return", "short", "signed", "size_t", "sizeof", "static",
    "static_assert", "static_cast", "struct", "switch", "template", "this", "thread_local", "throw", "true", "try",
    "typedef", "typeid", "typename", "typeof", "typeof_unqual", "uint16_t", "uint32_t", "uint64_t", "uint8_t",
    "uint_fast16_t", "uint_fast32_t", "uint_fast64_t", "uint_fast8_t", "uint_least16_t", "uint_least32_t",
    "uint_least64_t", "uint_least8_t", "uintmax_t", "uintptr_t", "union", "unix", "unsigned", "using", "virtual",
    "void", "volatile", "wchar_t", "while", "xor", "xor_eq",
];

/// Functions that compilers know without a header, so that another one of the name draws a warning or worse: those of the
/// standard library (C11, annex B), its macros with parameters, and what GCC adds. Sorted.
#[rustfmt::skip]
const LIBRARY: &[&str] = &[
    "CMPLX", "CMPLXF", "CMPLXL", "_Exit", "_exit", "abort", "abs", "acos", "acosf", "acosh", "acoshf", "acoshl",
    "acosl", "aligned_alloc", "alloca", "asctime", "asin", "asinf", "asinh", "asinhf", "asinhl", "asinl",
    "assert", "at_quick_exit", "atan", "atan2", "atan2f", "atan2l", "atanf", "atanh", "atanhf", "atanhl",
    "atanl", "atexit", "atof", "atoi", "atol", "atoll", "atomic_compare_exchange_strong",
    "atomic_compare_exchange_strong_explicit", "atomic_compare_exchange_weak",
    "atomic_compare_exchange_weak_explicit", "atomic_exchange", "atomic_exchange_explicit", "atomic_fetch_add",
    "atomic_fetch_add_explicit", "atomic_fetch_and", "atomic_fetch_and_explicit", "atomic_fetch_or",
    "atomic_fetch_or_explicit", "atomic_fetch_sub", "atomic_fetch_sub_explicit", "atomic_fetch_xor",
    "atomic_fetch_xor_explicit", "atomic_flag_clear", "atomic_flag_clear_explicit", "atomic_flag_test_and_set",
    "atomic_flag_test_and_set_explicit", "atomic_init", "atomic_is_lock_free", "atomic_load",
    "atomic_load_explicit", "atomic_signal_fence", "atomic_store", "atomic_store_explicit",
    "atomic_thread_fence", "bcmp", "bcopy", "bsearch", "btowc", "bzero", "cabs", "cacos", "cacosh", "calloc",
    "carg", "casin", "casinh", "catan", "catanh", "cbrt", "cbrtf", "cbrtl", "ccos", "ccosh", "ceil", "ceilf",
    "ceill", "cexp", "cimag", "clearerr", "clock", "clog", "conj", "copysign", "copysignf", "copysignl", "cos",
    "cosf", "cosh", "coshf", "coshl", "cosl", "cpow", "cproj", "creal", "csin", "csinh", "csqrt", "ctan",
    "ctanh", "ctime", "dcgettext", "dgettext", "difftime", "div", "drem", "erf", "erfc", "erfcf", "erfcl",
    "erff", "erfl", "execl", "execle", "execlp", "execv", "execve", "execvp", "exit", "exp", "exp10", "exp2",
    "exp2f", "exp2l", "expf", "expl", "expm1", "expm1f", "expm1l", "fabs", "fabsf", "fabsl", "fclose", "fdim",
    "fdimf", "fdiml", "feclearexcept", "fegetenv", "fegetexceptflag", "fegetround", "feholdexcept", "feof",
    "feraiseexcept", "ferror", "fesetenv", "fesetexceptflag", "fesetround", "fetestexcept", "feupdateenv",
    "fflush", "ffs", "ffsl", "ffsll", "fgetc", "fgetpos", "fgets", "fgetwc", "fgetws", "floor", "floorf",
    "floorl", "fma", "fmaf", "fmal", "fmax", "fmaxf", "fmaxl", "fmin", "fminf", "fminl", "fmod", "fmodf",
    "fmodl", "fopen", "fork", "fpclassify", "fprintf", "fputc", "fputs", "fputwc", "fputws", "fread", "free",
    "freopen", "frexp", "frexpf", "frexpl", "fscanf", "fseek", "fsetpos", "ftell", "fwide", "fwprintf",
    "fwrite", "fwscanf", "gamma", "getc", "getchar", "getenv", "gets", "gettext", "getwc", "getwchar", "gmtime",
    "hypot", "hypotf", "hypotl", "ilogb", "ilogbf", "ilogbl", "imaxabs", "imaxdiv", "index", "isalnum",
    "isalpha", "isascii", "isblank", "iscntrl", "isdigit", "isfinite", "isgraph", "isgreater", "isgreaterequal",
    "isinf", "isless", "islessequal", "islessgreater", "islower", "isnan", "isnormal", "isprint", "ispunct",
    "isspace", "isunordered", "isupper", "iswalnum", "iswalpha", "iswblank", "iswcntrl", "iswctype", "iswdigit",
    "iswgraph", "iswlower", "iswprint", "iswpunct", "iswspace", "iswupper", "iswxdigit", "isxdigit", "j0", "j1",
    "jn", "kill_dependency", "labs", "ldexp", "ldexpf", "ldexpl", "ldiv", "lgamma", "lgammaf", "lgammal",
    "llabs", "lldiv", "llrint", "llrintf", "llrintl", "llround", "llroundf", "llroundl", "localeconv",
    "localtime", "log", "log10", "log10f", "log10l", "log1p", "log1pf", "log1pl", "log2", "log2f", "log2l",
    "logb", "logbf", "logbl", "logf", "logl", "longjmp", "lrint", "lrintf", "lrintl", "lround", "lroundf",
    "lroundl", "malloc", "mblen", "mbrlen", "mbrtowc", "mbsinit", "mbsrtowcs", "mbstowcs", "mbtowc", "memchr",
    "memcmp", "memcpy", "memmove", "mempcpy", "memset", "mktime", "modf", "modff", "modfl", "nan", "nanf",
    "nanl", "nearbyint", "nearbyintf", "nearbyintl", "nextafter", "nextafterf", "nextafterl", "nexttoward",
    "nexttowardf", "nexttowardl", "offsetof", "perror", "pow", "pow10", "powf", "powl", "printf",
    "printf_unlocked", "putc", "putchar", "putchar_unlocked", "puts", "puts_unlocked", "putwc", "putwchar",
    "qsort", "quick_exit", "raise", "rand", "realloc", "remainder", "remainderf", "remainderl", "remove",
    "remquo", "remquof", "remquol", "rename", "rewind", "rindex", "rint", "rintf", "rintl", "round", "roundf",
    "roundl", "scalb", "scalbln", "scalblnf", "scalblnl", "scalbn", "scalbnf", "scalbnl", "scanf", "setbuf",
    "setjmp", "setlocale", "setvbuf", "signal", "signbit", "significand", "sin", "sincos", "sinf", "sinh",
    "sinhf", "sinhl", "sinl", "snprintf", "sprintf", "sqrt", "sqrtf", "sqrtl", "srand", "sscanf", "stpcpy",
    "stpncpy", "strcasecmp", "strcat", "strchr", "strcmp", "strcoll", "strcpy", "strcspn", "strdup", "strerror",
    "strfmon", "strftime", "strlen", "strncasecmp", "strncat", "strncmp", "strncpy", "strndup", "strnlen",
    "strpbrk", "strrchr", "strspn", "strstr", "strtod", "strtof", "strtoimax", "strtok", "strtol", "strtold",
    "strtoll", "strtoul", "strtoull", "strtoumax", "strxfrm", "swprintf", "swscanf", "system", "tan", "tanf",
    "tanh", "tanhf", "tanhl", "tanl", "tgamma", "tgammaf", "tgammal", "time", "timespec_get", "tmpfile",
    "tmpnam", "toascii", "tolower", "toupper", "towctrans", "towlower", "towupper", "trunc", "truncf", "truncl",
    "ungetc", "ungetwc", "va_arg", "va_copy", "va_end", "va_start", "vfprintf", "vfscanf", "vfwprintf",
    "vfwscanf", "vprintf", "vscanf", "vsnprintf", "vsprintf", "vsscanf", "vswprintf", "vswscanf", "vwprintf",
    "vwscanf", "wcrtomb", "wcscat", "wcschr", "wcscmp", "wcscoll", "wcscpy", "wcscspn", "wcsftime", "wcslen",
    "wcsncat", "wcsncmp", "wcsncpy", "wcspbrk", "wcsrchr", "wcsrtombs", "wcsspn", "wcsstr", "wcstod", "wcstof",
    "wcstok", "wcstol", "wcstold", "wcstoll", "wcstombs", "wcstoul", "wcstoull", "wcsxfrm", "wctob", "wctomb",
    "wctrans", "wctype", "wmemchr", "wmemcmp", "wmemcpy", "wmemmove", "wmemset", "wprintf", "wscanf", "y0",
    "y1", "yn",
];

/// What POSIX's `unistd.h` and `stdlib.h` declare besides, and symbols that linkers, start files and loaders own: another one of
/// the name is refused, or taken for theirs. Sorted.
#[rustfmt::skip]
const SYSTEM: &[&str] = &[
    "_DYNAMIC", "_GLOBAL_OFFSET_TABLE_", "_IO_stdin_used", "_PROCEDURE_LINKAGE_TABLE_", "_SDA_BASE_",
    "_TLS_MODULE_BASE_", "_dl_relocate_static_pie", "_edata", "_end", "_etext", "_fini", "_gp_disp", "_init",
    "_mcount", "_rtld_global", "_start", "a64l", "access", "acct", "alarm", "arc4random", "arc4random_buf",
    "arc4random_uniform", "brk", "chdir", "chown", "chroot", "clearenv", "close", "closefrom", "confstr",
    "crypt", "daemon", "data_start", "drand48", "drand48_r", "dup", "dup2", "ecvt", "ecvt_r", "endusershell",
    "environ", "erand48", "erand48_r", "faccessat", "fchdir", "fchown", "fchownat", "fcvt", "fcvt_r",
    "fdatasync", "fexecve", "fpathconf", "fsync", "ftruncate", "gcvt", "getcwd", "getdomainname",
    "getdtablesize", "getegid", "getentropy", "geteuid", "getgid", "getgroups", "gethostid", "gethostname",
    "getloadavg", "getlogin", "getlogin_r", "getopt", "getpagesize", "getpass", "getpgid", "getpgrp", "getpid",
    "getppid", "getsid", "getsubopt", "getuid", "getusershell", "getwd", "grantpt", "initstate", "initstate_r",
    "isatty", "jrand48", "jrand48_r", "l64a", "lchown", "lcong48", "lcong48_r", "link", "linkat", "lockf",
    "lrand48", "lrand48_r", "lseek", "mcount", "mkdtemp", "mkstemp", "mkstemps", "mktemp", "mrand48",
    "mrand48_r", "nice", "nrand48", "nrand48_r", "on_exit", "optarg", "opterr", "optind", "optopt", "pathconf",
    "pause", "pipe", "posix_memalign", "posix_openpt", "pread", "profil", "pselect", "ptsname", "putenv",
    "pwrite", "qecvt", "qecvt_r", "qfcvt", "qfcvt_r", "qgcvt", "rand_r", "random", "random_r", "read",
    "readlink", "readlinkat", "reallocarray", "realpath", "revoke", "rmdir", "rpmatch", "sbrk", "seed48",
    "seed48_r", "select", "setdomainname", "setegid", "setenv", "seteuid", "setgid", "sethostid", "sethostname",
    "setlogin", "setpgid", "setpgrp", "setregid", "setreuid", "setsid", "setstate", "setstate_r", "setuid",
    "setusershell", "sleep", "srand48", "srand48_r", "srandom", "srandom_r", "strtoq", "strtouq", "swab",
    "symlink", "symlinkat", "sync", "syscall", "sysconf", "tcgetpgrp", "tcsetpgrp", "truncate", "ttyname",
    "ttyname_r", "ttyslot", "ualarm", "unlink", "unlinkat", "unlockpt", "unsetenv", "usleep", "valloc", "vfork",
    "vhangup", "write",
];

/// A name as an identifier of C: `scale(f32, ptr<global>)` is `scale_f32_ptr_global`. What is one already stays as it is;
/// everything else between letters and digits becomes one underscore. What means something everywhere gets one behind it, and
/// so does what begins as the headers' own names do: none of those ends in an underscore.
pub fn c_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut gap = false;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            if gap {
                out.push('_');
            }
            gap = false;
            out.push(c);
        } else {
            gap = true;
        }
    }
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    let is_ours = out.starts_with("marq_") || out.starts_with("MARQ_");
    if is_ours || KEYWORDS.binary_search(&out.as_str()).is_ok() || is_macro(&out) {
        out.push('_');
    }
    out
}

/// As [`c_name`], of a function that others see: those of C's own library and of POSIX get an underscore as well, and so do names
/// that belong to the system, as all do that begin with two underscores.
pub fn c_symbol(name: &str) -> String {
    let mut out = c_name(name);
    let is_known = |names: &[&str]| names.binary_search(&out.as_str()).is_ok();
    if is_known(LIBRARY) || is_known(SYSTEM) || out.starts_with("__") && !out.ends_with('_') {
        out.push('_');
    }
    out
}

/// Whether a function of this name can be declared in C and C++.
pub fn is_c_symbol(name: &str) -> bool {
    c_symbol(name) == name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        for (name, wanted) in [
            ("axpy", "axpy"),
            ("_x9", "_x9"),
            ("scale(f32, ptr<global>)", "scale_f32_ptr_global"),
            ("f()", "f"),
            ("odd name", "odd_name"),
            ("9lives", "_9lives"),
            ("", "_"),
            ("\u{e9}", "_"),
            ("while", "while_"),
            ("_Bool", "_Bool_"),
            ("int32_t", "int32_t_"),
            ("sin", "sin"),
            ("main", "main"),
            ("a::b", "a_b"),
            ("INT64_MAX", "INT64_MAX_"),
            ("errno", "errno_"),
            ("assert", "assert"),
            ("marq_group", "marq_group_"),
            ("MARQ ALIGN", "MARQ_ALIGN_"),
            ("marquetry", "marquetry"),
        ] {
            assert_eq!(c_name(name), wanted);
        }
        for names in [KEYWORDS, LIBRARY, SYSTEM] {
            assert!(names.is_sorted_by(|one, two| one < two));
        }
        assert_eq!(["sin", "while", "sin_", "axpy"].map(c_symbol), ["sin_", "while_", "sin_", "axpy"]);
        assert_eq!(["isnan", "assert", "EOF"].map(c_symbol), ["isnan_", "assert_", "EOF_"]);
        for name in
            ["write", "environ", "_init", "_end", "_GLOBAL_OFFSET_TABLE_", "__bss_start", "__libc_start_main"]
        {
            assert_eq!(c_symbol(name), format!("{name}_"));
            assert!(!is_c_symbol(name) && is_c_symbol(&c_symbol(name)));
        }
        assert!(is_c_symbol("axpy") && ["while", "printf", "a b", ""].iter().all(|name| !is_c_symbol(name)));
    }
}
