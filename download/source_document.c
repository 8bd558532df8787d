/* sourceType SSMDocument (spec 04, section 8.5). */
#include "download/download.h"
#include "schema/rundocument.h"

#define MAX_DOCUMENT_BYTES (4u << 20)

int source_document(struct download *d, struct err *err)
{
    AUTO(buf_done) struct buf content = {0};
    struct document_name name;
    int r = document_name_parse(d->in.location, &name, err);

    buf_init(&content, MAX_DOCUMENT_BYTES);
    if (r == 0)
        r = ask_document(d, name.name, name.version, &content, err);
    if (r == 0)
        r = dest_put(d->dest, dest_is_directory(d->dest) ? name.file : NULL, buf_str(&content),
                     content.len, err);
    return r < 0 ? err_wrap(err, "document %.200s", d->in.location) : 0;
}
