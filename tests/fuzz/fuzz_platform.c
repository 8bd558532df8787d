/* os-release and its older relatives: any text, as the file that its first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "executors/platform.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    struct platform p = {"untouched", "untouched"};
    char *text;

    if (n == 0)
        return 0;
    text = malloc(n); /* exactly its length and a NUL */
    if (text == NULL)
        abort();
    memcpy(text, data + 1, n - 1);
    text[n - 1] = '\0';
    if (platform_parse(data[0] % PLATFORM_SOURCES, text, &p)) {
        if (strlen(p.name) >= PLATFORM_TEXT_SIZE || strlen(p.version) >= PLATFORM_TEXT_SIZE ||
            !str_is_utf8(p.name, strlen(p.name)) || !str_is_utf8(p.version, strlen(p.version)))
            abort();
    } else if (!str_eq(p.name, "untouched")) {
        abort();
    }
    free(text);
    return 0;
}
