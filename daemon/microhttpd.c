#include "daemon/microhttpd.h"

#include <dlfcn.h>

struct microhttpd mhd;

/* Its functions are what this name stands for; another one would mean others. */
#define LIBRARY "libmicrohttpd.so.12"

static int fail(struct err *err)
{
    return err_set(
        err, ERR_INTERNAL,
        "cannot serve HTTP: %s; install libmicrohttpd, or take http out of the configuration",
        dlerror());
}

int microhttpd_load(struct err *err)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return fail(err);
#define MICROHTTPD_FIND(name)                                                                      \
    *(void **)&mhd.name = dlsym(library, "MHD_" #name);                                            \
    if (mhd.name == NULL)                                                                          \
        return fail(err);
    MICROHTTPD_FUNCTIONS(MICROHTTPD_FIND)
#undef MICROHTTPD_FIND
    return 0;
}
