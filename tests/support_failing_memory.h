/* Memory that fails on request: definitions of malloc and the like that stand before the C
 * library's, for the one source file of a test program that includes this. */
#ifndef MREGION_TESTS_SUPPORT_FAILING_MEMORY_H
#define MREGION_TESTS_SUPPORT_FAILING_MEMORY_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Calls left until one fails; negative: none does. */
static _Thread_local long countdown = -1;
static _Thread_local bool has_failed;

static bool must_fail(void)
{
    if (countdown < 0 || countdown-- > 0)
        return false;
    has_failed = true;
    return true;
}

/* The next definition of a function in link order: the C library's or the sanitizer's. */
#define NEXT(name)                                                                                 \
    static __typeof__(name) *next;                                                                 \
    if (next == NULL)                                                                              \
    next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    NEXT(malloc);
    return must_fail() ? NULL : next(size);
}

__attribute__((visibility("default"))) void *realloc(void *memory, size_t size)
{
    NEXT(realloc);
    return must_fail() ? NULL : next(memory, size);
}

__attribute__((visibility("default"))) char *strdup(const char *text)
{
    NEXT(strdup);
    return must_fail() ? NULL : next(text);
}

__attribute__((visibility("default"))) char *strndup(const char *text, size_t size)
{
    NEXT(strndup);
    return must_fail() ? NULL : next(text, size);
}

#endif
