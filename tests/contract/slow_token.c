// SPDX-License-Identifier: Apache-2.0

// A PKCS#11 module that is another one (REAL, a macro with its path), but signs late: while the file $SLOW_TOKEN exists, C_Sign
// first waits as many milliseconds as it says. What a module offers is a table of functions; this is a copy with one replaced.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FUNCTIONS 68 /* PKCS#11 v2.40 section 5.1: CK_FUNCTION_LIST, the version and then so many pointers */
#define C_SIGN 43    /* the place of C_Sign among them, from 0 */

typedef unsigned long (*Sign)(unsigned long, void *, unsigned long, void *, unsigned long *);
typedef struct {
    unsigned char version[2];
    void *functions[FUNCTIONS];
} Table;

static Table table;
static Sign real_sign;

static unsigned long slow_sign(unsigned long session, void *data, unsigned long size, void *signature, unsigned long *length)
{
    const char *name = getenv("SLOW_TOKEN");
    FILE *file = name ? fopen(name, "r") : NULL;
    long milliseconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &milliseconds) == 1 && signature) {
            struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000};
            nanosleep(&pause, NULL);
        }
        fclose(file);
    }
    return real_sign(session, data, size, signature, length);
}

unsigned long C_GetFunctionList(void **list)
{
    unsigned long (*get)(void **);
    void *library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL), *found;
    unsigned long answer;
    if (!library)
        return 5; /* CKR_GENERAL_ERROR */
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    answer = get(&found);
    if (answer == 0) {
        memcpy(&table, found, sizeof table);
        *(void **)&real_sign = table.functions[C_SIGN];
        *(void **)&table.functions[C_SIGN] = (void *)slow_sign;
        *list = &table;
    }
    return answer;
}
