//! Macros of C's library and of compilers: a name of theirs is replaced wherever it stands, in fields and parameters too.

/// Those without parameters that belong to no family. Sorted.
#[rustfmt::skip]
const MACROS: &[&str] = &[
    "BUFSIZ", "CHAR_BIT", "CHAR_MAX", "CHAR_MIN", "CLOCKS_PER_SEC", "DECIMAL_DIG", "E2BIG", "EACCES",
    "EADDRINUSE", "EADDRNOTAVAIL", "EADV", "EAFNOSUPPORT", "EAGAIN", "EALREADY", "EBADE", "EBADF", "EBADFD",
    "EBADMSG", "EBADR", "EBADRQC", "EBADSLT", "EBFONT", "EBUSY", "ECANCELED", "ECHILD", "ECHRNG", "ECOMM",
    "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EDEADLK", "EDEADLOCK", "EDESTADDRREQ", "EDOM", "EDOTDOT",
    "EDQUOT", "EEXIST", "EFAULT", "EFBIG", "EHOSTDOWN", "EHOSTUNREACH", "EHWPOISON", "EIDRM", "EILSEQ",
    "EINPROGRESS", "EINTR", "EINVAL", "EIO", "EISCONN", "EISDIR", "EISNAM", "EKEYEXPIRED", "EKEYREJECTED",
    "EKEYREVOKED", "EL2HLT", "EL2NSYNC", "EL3HLT", "EL3RST", "ELIBACC", "ELIBBAD", "ELIBEXEC", "ELIBMAX",
    "ELIBSCN", "ELNRNG", "ELOOP", "EMEDIUMTYPE", "EMFILE", "EMLINK", "EMSGSIZE", "EMULTIHOP", "ENAMETOOLONG",
    "ENAVAIL", "ENETDOWN", "ENETRESET", "ENETUNREACH", "ENFILE", "ENOANO", "ENOBUFS", "ENOCSI", "ENODATA",
    "ENODEV", "ENOENT", "ENOEXEC", "ENOKEY", "ENOLCK", "ENOLINK", "ENOMEDIUM", "ENOMEM", "ENOMSG", "ENONET",
    "ENOPKG", "ENOPROTOOPT", "ENOSPC", "ENOSR", "ENOSTR", "ENOSYS", "ENOTBLK", "ENOTCONN", "ENOTDIR",
    "ENOTEMPTY", "ENOTNAM", "ENOTRECOVERABLE", "ENOTSOCK", "ENOTSUP", "ENOTSUPP", "ENOTTY", "ENOTUNIQ", "ENXIO",
    "EOF", "EOK", "EOPNOTSUPP", "EOVERFLOW", "EOWNERDEAD", "EPERM", "EPFNOSUPPORT", "EPIPE", "EPROTO",
    "EPROTONOSUPPORT", "EPROTOTYPE", "ERANGE", "EREMCHG", "EREMOTE", "EREMOTEIO", "ERESTART", "ERFKILL",
    "EROFS", "ESHUTDOWN", "ESOCKTNOSUPPORT", "ESPIPE", "ESRCH", "ESRMNT", "ESTALE", "ESTRPIPE", "ETIME",
    "ETIMEDOUT", "ETOOMANYREFS", "ETXTBSY", "EUCLEAN", "EUNATCH", "EUSERS", "EWOULDBLOCK", "EXDEV", "EXFULL",
    "EXIT_FAILURE", "EXIT_SUCCESS", "FILENAME_MAX", "FOPEN_MAX", "HUGE_VAL", "HUGE_VALF", "HUGE_VALL", "I",
    "INFINITY", "LLONG_MAX", "LLONG_MIN", "LONG_MAX", "LONG_MIN", "L_tmpnam", "MATH_ERREXCEPT", "MATH_ERRNO",
    "MB_CUR_MAX", "MB_LEN_MAX", "M_1_PI", "M_2_PI", "M_2_SQRTPI", "M_E", "M_LN10", "M_LN2", "M_LOG10E",
    "M_LOG2E", "M_PI", "M_PI_2", "M_PI_4", "M_SQRT1_2", "M_SQRT2", "NAME_MAX", "NAN", "ONCE_FLAG_INIT",
    "PAGE_SIZE", "PATH_MAX", "PTHREAD_MUTEX_INITIALIZER", "PTRDIFF_MAX", "PTRDIFF_MIN", "RAND_MAX", "SCHAR_MAX",
    "SCHAR_MIN", "SEEK_CUR", "SEEK_END", "SEEK_SET", "SHRT_MAX", "SHRT_MIN", "SIGABRT", "SIGALRM", "SIGBUS",
    "SIGCHLD", "SIGCLD", "SIGCONT", "SIGEMT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINFO", "SIGINT", "SIGIO",
    "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX", "SIGRTMIN",
    "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU",
    "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIG_ATOMIC_MAX",
    "SIG_ATOMIC_MIN", "SIG_DFL", "SIG_ERR", "SIG_IGN", "SIZE_MAX", "SSIZE_MAX", "STDERR_FILENO", "STDIN_FILENO",
    "STDOUT_FILENO", "TIME_UTC", "TMP_MAX", "TSS_DTOR_ITERATIONS", "UCHAR_MAX", "ULLONG_MAX", "ULONG_MAX",
    "USHRT_MAX", "WCHAR_MAX", "WCHAR_MIN", "WEOF", "WINT_MAX", "WINT_MIN", "_BitInt", "_DEFAULT_SOURCE",
    "_Decimal128", "_Decimal32", "_Decimal64", "_Float128", "_Float128x", "_Float16", "_Float32", "_Float32x",
    "_Float64", "_Float64x", "_GNU_SOURCE", "_IOFBF", "_IOLBF", "_IONBF", "_ISOC11_SOURCE", "_ISOC99_SOURCE",
    "_LP64", "_MSC_VER", "_M_X64", "_POSIX_C_SOURCE", "_POSIX_SOURCE", "_Pragma", "_WIN32", "_WIN64",
    "_XOPEN_SOURCE", "__DEPRECATED", "__EXCEPTIONS", "__SEG_FS", "__SEG_GS", "__aarch64", "__alignof",
    "__amd64", "__arm", "__asm", "__attribute", "__bf16", "__complex", "__const", "__cplusplus", "__float128",
    "__fp16", "__i386", "__imag", "__inline", "__int128", "__k8", "__label", "__linux", "__null", "__real",
    "__restrict", "__riscv", "__s390", "__s390x", "__signed", "__thread", "__typeof", "__unix", "__volatile",
    "__x86_64", "complex", "errno", "i386", "imaginary", "math_errhandling", "noreturn", "stderr", "stdin",
    "stdout",
];

/// How the names of whole families begin: those that C's library reserves (C11, 7.31), and those that compilers define.
const FAMILIES: &[&str] = &[
    "ATOMIC_",
    "DBL_",
    "FE_",
    "FLT_",
    "FP_",
    "LC_",
    "LDBL_",
    "_STDC_",
    "__ATOMIC_",
    "__GCC_",
    "__GNUC_",
    "__GXX_",
    "__builtin_",
    "__cpp_",
];

/// Whether a name may be a macro without parameters, or another word that compilers do not leave as it is.
pub(super) fn is_macro(name: &str) -> bool {
    let limit = || {
        let is_integer = name.starts_with("INT") || name.starts_with("UINT");
        is_integer && ["_MAX", "_MIN", "_C"].iter().any(|end| name.ends_with(end))
    };
    let format = || {
        let kind = name.strip_prefix("PRI").or_else(|| name.strip_prefix("SCN"));
        kind.is_some_and(|kind| kind.starts_with(|c: char| c == 'X' || c.is_ascii_lowercase()))
    };
    let predefined = || name.len() > 4 && name.starts_with("__") && name.ends_with("__");
    MACROS.binary_search(&name).is_ok()
        || FAMILIES.iter().any(|start| name.starts_with(start))
        || limit()
        || format()
        || predefined()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_known() {
        assert!(MACROS.is_sorted_by(|one, two| one < two));
        for name in [
            "EOF",
            "errno",
            "stdin",
            "INT64_MAX",
            "UINT_LEAST8_MAX",
            "INT8_C",
            "PRIdMAX",
            "SCNx8",
            "__LINE__",
        ] {
            assert!(is_macro(name), "{name}");
        }
        for name in ["PRICE", "INTERVAL", "EDGE", "SIGMA", "x", "__", "____", "_x", "MAX", "int", "stdio"] {
            assert!(!is_macro(name), "{name}");
        }
    }
}
