/* What Android's C library has and glibc lacks, as far as the runtimes' libraries use it.
 *
 * Preloaded into the JVM that runs the tests, so that libraries built for Android load and run there.
 * The layouts of bionic's pthread and stat structures on x86-64 fit glibc's. tools/android_native.py
 * compiles this file.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

int *__errno(void) { return &errno; }

void __assert2(const char *file, int line, const char *function, const char *message) {
  fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, function, message);
  abort();
}

char *__gnu_strerror_r(int number, char *buffer, size_t size) { return strerror_r(number, buffer, size); }

/* The checks of sizes, which _FORTIFY_SOURCE puts into calls, are left out. */

size_t __strlen_chk(const char *text, size_t size) {
  (void)size;
  return strlen(text);
}

char *__strchr_chk(const char *text, int wanted, size_t size) {
  (void)size;
  return strchr(text, wanted);
}

char *__strrchr_chk(const char *text, int wanted, size_t size) {
  (void)size;
  return strrchr(text, wanted);
}

ssize_t __write_chk(int file, const void *bytes, size_t count, size_t size) {
  (void)size;
  return write(file, bytes, count);
}

/* Only programs compiled for coverage define these; libexecutorch.so calls them if they exist. */

void __gcov_dump(void) {}

void __gcov_flush(void) {}

/* liblog.so, and properties: none is set. */

int __system_property_get(const char *name, char *value) {
  (void)name;
  value[0] = '\0';
  return 0;
}

int __android_log_write(int priority, const char *tag, const char *message) {
  (void)priority;
  return fprintf(stderr, "[%s] %s\n", tag, message);
}

int __android_log_vprint(int priority, const char *tag, const char *format, va_list values) {
  char message[1024];
  vsnprintf(message, sizeof message, format, values);
  return __android_log_write(priority, tag, message);
}

int __android_log_print(int priority, const char *tag, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int count = __android_log_vprint(priority, tag, format, values);
  va_end(values);
  return count;
}

void __android_log_assert(const char *condition, const char *tag, const char *format, ...) {
  if (format) {
    va_list values;
    va_start(values, format);
    __android_log_vprint(7, tag, format, values);
    va_end(values);
  } else {
    __android_log_write(7, tag, condition ? condition : "assertion failed");
  }
  abort();
}

void android_set_abort_message(const char *message) { fprintf(stderr, "abort: %s\n", message); }

/* Before Android 6, stdin, stdout and stderr were the elements of this array of 152-byte structures. */

char __sF[3 * 152];

static FILE *standard(FILE *file) {
  char *place = (char *)file;
  if (place < __sF || place >= __sF + sizeof __sF) return file;
  return (place - __sF) / 152 == 1 ? stdout : stderr;
}

/* Declares `real`, the C library's own function of this name. */
#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int vfprintf(FILE *file, const char *format, va_list values) {
  REAL(vfprintf);
  return real(standard(file), format, values);
}

int fprintf(FILE *file, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int count = vfprintf(file, format, values);
  va_end(values);
  return count;
}

size_t fwrite(const void *bytes, size_t size, size_t count, FILE *file) {
  REAL(fwrite);
  return real(bytes, size, count, standard(file));
}

int fputs(const char *text, FILE *file) {
  REAL(fputs);
  return real(text, standard(file));
}

int fputc(int letter, FILE *file) {
  REAL(fputc);
  return real(letter, standard(file));
}

int fflush(FILE *file) {
  REAL(fflush);
  return real(file ? standard(file) : file);
}

/* A JVM has loaded libstdc++ for all, and the libraries here bring a C++ library of their own with symbols of
 * the same names. RTLD_DEEPBIND makes each of them prefer its own. */

void *dlopen(const char *path, int mode) {
  REAL(dlopen);
  Dl_info here;
  if (path && dladdr(__sF, &here)) {
    size_t folder = strrchr(here.dli_fname, '/') + 1 - here.dli_fname;
    if (strncmp(path, here.dli_fname, folder) == 0) mode |= RTLD_DEEPBIND;
  }
  return real(path, mode);
}

/* The same names have other numbers in bionic; thread pools take their size from here. In glibc, these
 * numbers are limits of shell utilities, which no JVM asks for. */

long sysconf(int name) {
  REAL(sysconf);
  switch (name) {
    case 0x27: /* _SC_PAGESIZE */
    case 0x28: /* _SC_PAGE_SIZE */
      return real(_SC_PAGESIZE);
    case 0x60:
      return real(_SC_NPROCESSORS_CONF);
    case 0x61:
      return real(_SC_NPROCESSORS_ONLN);
    default:
      return real(name);
  }
}
