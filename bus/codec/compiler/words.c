/* SPDX-License-Identifier: MIT
 * Words: names that C or C++ already use. A member of one of these names would not compile, or not beside the header that
 * makes it a macro; a type of one would clash with the system's. */
#include "codec/compiler/compiler.h"

#include <string.h>

/* Each word has a blank on both sides. Keywords of C11, C23, C++20 and GNU C. */
static const char keywords[] =
    " "
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t class co_await "
    "co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete do "
    "double dynamic_cast else enum EOF errno explicit export extern false float for friend goto i386 if inline int linux "
    "long mutable namespace new noexcept not not_eq NULL nullptr operator or or_eq private protected public register "
    "reinterpret_cast requires restrict return short signed sizeof static static_assert static_cast stderr stdin stdout "
    "struct switch template this thread_local throw true try typedef typeid typename typeof typeof_unqual union unix "
    "unsigned using virtual void volatile wchar_t while xor xor_eq ";

/* Macros of the headers of C11; those of POSIX that have small letters. */
static const char macros[] =
    " "
    "AF_DECnet BUFSIZ CHAR_BIT CHAR_MAX CHAR_MIN CLOCKS_PER_SEC complex d_fileno E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EADV "
    "EAFNOSUPPORT EAGAIN EALREADY EBADE EBADF EBADFD EBADMSG EBADR EBADRQC EBADSLT EBFONT EBUSY ECANCELED ECHILD ECHRNG "
    "ECOMM ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDEADLOCK EDESTADDRREQ EDOM EDOTDOT EDQUOT EEXIST EFAULT EFBIG "
    "EHOSTDOWN EHOSTUNREACH EHWPOISON EIDRM EILSEQ EINPROGRESS EINTR EINVAL EIO EISCONN EISDIR EISNAM EKEYEXPIRED "
    "EKEYREJECTED EKEYREVOKED EL2HLT EL2NSYNC EL3HLT EL3RST ELIBACC ELIBBAD ELIBEXEC ELIBMAX ELIBSCN ELNRNG ELOOP "
    "EMEDIUMTYPE EMFILE EMLINK EMSGSIZE EMULTIHOP ENAMETOOLONG ENAVAIL ENETDOWN ENETRESET ENETUNREACH ENFILE ENOANO ENOBUFS "
    "ENOCSI ENODATA ENODEV ENOENT ENOEXEC ENOKEY ENOLCK ENOLINK ENOMEDIUM ENOMEM ENOMSG ENONET ENOPKG ENOPROTOOPT ENOSPC "
    "ENOSR ENOSTR ENOSYS ENOTBLK ENOTCONN ENOTDIR ENOTEMPTY ENOTNAM ENOTRECOVERABLE ENOTSOCK ENOTSUP ENOTTY ENOTUNIQ ENXIO "
    "EOPNOTSUPP EOVERFLOW EOWNERDEAD EPERM EPFNOSUPPORT EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EREMCHG EREMOTE "
    "EREMOTEIO ERESTART ERFKILL EROFS ESHUTDOWN ESOCKTNOSUPPORT ESPIPE ESRCH ESRMNT ESTALE ESTRPIPE ETIME ETIMEDOUT "
    "ETOOMANYREFS ETXTBSY EUCLEAN EUNATCH EUSERS EWOULDBLOCK EXDEV EXFULL EXIT_FAILURE EXIT_SUCCESS FILENAME_MAX FOPEN_MAX "
    "FP_ILOGB0 FP_ILOGBNAN FP_INFINITE FP_NAN FP_NORMAL FP_SUBNORMAL FP_ZERO h_addr h_errno HUGE_VAL HUGE_VALF HUGE_VALL I "
    "ifa_broadaddr ifa_dstaddr ifc_buf ifc_req ifr_addr ifr_bandwidth ifr_broadaddr ifr_data ifr_dstaddr ifr_flags "
    "ifr_hwaddr ifr_ifindex ifr_map ifr_metric ifr_mtu ifr_name ifr_netmask ifr_newname ifr_qlen ifr_slave INFINITY INT_MAX "
    "INT_MIN INTMAX_MAX INTMAX_MIN INTPTR_MAX INTPTR_MIN L_ctermid L_cuserid L_tmpnam LC_ADDRESS LC_ALL LC_COLLATE LC_CTYPE "
    "LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME LLONG_MAX "
    "LLONG_MIN LONG_MAX LONG_MIN MATH_ERREXCEPT math_errhandling MATH_ERRNO MAXFLOAT MB_CUR_MAX MB_LEN_MAX MINSIGSTKSZ NAN "
    "NFDBITS NGREG noreturn NSIG NZERO ONCE_FLAG_INIT P_tmpdir PF_DECnet PTRDIFF_MAX PTRDIFF_MIN RAND_MAX s6_addr s6_addr16 "
    "s6_addr32 sa_handler sa_sigaction SCHAR_MAX SCHAR_MIN sched_priority SEEK_CUR SEEK_END SEEK_SET SHRT_MAX SHRT_MIN "
    "si_addr si_addr_lsb si_arch si_band si_call_addr si_fd si_int si_lower si_overrun si_pid si_pkey si_ptr si_status "
    "si_stime si_syscall si_timerid si_uid si_upper si_utime si_value SIG_ATOMIC_MAX SIG_ATOMIC_MIN SIG_DFL SIG_ERR SIG_IGN "
    "SIGABRT SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT sigev_notify_attributes sigev_notify_function SIGFPE SIGHUP SIGILL "
    "SIGINT SIGIO SIGIOT SIGKILL SIGPIPE SIGPOLL SIGPROF SIGPWR SIGQUIT SIGRTMAX SIGRTMIN SIGSEGV SIGSTKFLT SIGSTKSZ "
    "SIGSTOP SIGSYS SIGTERM SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ "
    "SIZE_MAX SNAN SNANF SNANF128 SNANF32 SNANF32X SNANF64 SNANF64X SNANL st_atime st_ctime st_mtime TIME_UTC TMP_MAX "
    "TSS_DTOR_ITERATIONS UCHAR_MAX UINT_MAX UINTMAX_MAX UINTPTR_MAX ULLONG_MAX ULONG_MAX USHRT_MAX WCHAR_MAX WCHAR_MIN "
    "WCONTINUED WEOF WEXITED WINT_MAX WINT_MIN WNOHANG WNOWAIT WSTOPPED WUNTRACED ";

/* Types and functions of C11 and POSIX that a name space and a name can make: "int32.t". */
static const char functions[] =
    " "
    "aio_cancel aio_error aio_read aio_return aio_suspend aio_write aligned_alloc at_quick_exit atomic_bool atomic_char "
    "atomic_char16_t atomic_char32_t atomic_compare_exchange_strong atomic_compare_exchange_weak atomic_exchange "
    "atomic_fetch_add atomic_fetch_and atomic_fetch_or atomic_fetch_sub atomic_fetch_xor atomic_flag atomic_flag_clear "
    "atomic_flag_test_and_set atomic_init atomic_int atomic_int_fast16_t atomic_int_fast32_t atomic_int_fast64_t "
    "atomic_int_fast8_t atomic_int_least16_t atomic_int_least32_t atomic_int_least64_t atomic_int_least8_t atomic_intmax_t "
    "atomic_intptr_t atomic_is_lock_free atomic_llong atomic_load atomic_long atomic_ptrdiff_t atomic_schar atomic_short "
    "atomic_signal_fence atomic_size_t atomic_store atomic_thread_fence atomic_uchar atomic_uint atomic_ullong atomic_ulong "
    "atomic_ushort atomic_wchar_t blkcnt_t blksize_t call_once clock_getres clock_gettime clock_nanosleep clock_settime "
    "clock_t clockid_t cnd_broadcast cnd_destroy cnd_init cnd_signal cnd_t cnd_timedwait cnd_wait dev_t div_t double_t "
    "fenv_t fexcept_t float_t fpos_t gid_t id_t imaxdiv_t in_addr_t in_port_t ino_t int16_t int32_t int64_t int8_t "
    "int_fast16_t int_fast32_t int_fast64_t int_fast8_t int_least16_t int_least32_t int_least64_t int_least8_t intmax_t "
    "intptr_t jmp_buf key_t kill_dependency ldiv_t lldiv_t max_align_t mbstate_t memory_order memory_order_acq_rel "
    "memory_order_acquire memory_order_consume memory_order_relaxed memory_order_release memory_order_seq_cst mode_t "
    "mq_close mq_open mq_receive mq_send mtx_destroy mtx_init mtx_lock mtx_plain mtx_recursive mtx_t mtx_timed "
    "mtx_timedlock mtx_trylock mtx_unlock nlink_t off_t once_flag pid_t posix_fadvise posix_fallocate posix_madvise "
    "posix_memalign posix_openpt posix_spawn posix_spawnp pthread_attr_t pthread_cond_t pthread_create pthread_detach "
    "pthread_equal pthread_exit pthread_join pthread_key_t pthread_mutex_t pthread_once_t pthread_self pthread_t ptrdiff_t "
    "quick_exit sa_family_t sched_yield sem_close sem_init sem_open sem_post sem_t sem_wait shm_open shm_unlink "
    "sig_atomic_t siginfo_t sigset_t size_t socklen_t ssize_t stack_t suseconds_t thrd_busy thrd_create thrd_current "
    "thrd_detach thrd_equal thrd_error thrd_exit thrd_join thrd_nomem thrd_sleep thrd_start_t thrd_success thrd_t "
    "thrd_timedout thrd_yield time_t timer_create timer_delete timer_gettime timer_settime timer_t tss_create tss_delete "
    "tss_dtor_t tss_get tss_set tss_t uid_t uint16_t uint32_t uint64_t uint8_t uint_fast16_t uint_fast32_t uint_fast64_t "
    "uint_fast8_t uint_least16_t uint_least32_t uint_least64_t uint_least8_t uintmax_t uintptr_t useconds_t va_arg va_copy "
    "va_end va_list va_start wctrans_t wctype_t wint_t ";

static bool listed(const char *words, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = words; (at = strstr(at, name)); at++)
        if (at[-1] == ' ' && at[len] == ' ')
            return true;
    return false;
}

/* What C keeps for itself, in any scope; and the library's own macros. */
static bool reserved(const char *name)
{
    return (name[0] == '_' && (name[1] == '_' || (name[1] >= 'A' && name[1] <= 'Z'))) || strncmp(name, "BUS_", 4) == 0;
}

bool compiler_word(const char *name)
{
    return reserved(name) || listed(keywords, name) || listed(macros, name) || listed(functions, name);
}

bool compiler_member_word(const char *name)
{
    return reserved(name) || listed(keywords, name) || listed(macros, name);
}
