/* Shared by the suites about documents: one step, its inputs and precondition given as texts. */
#ifndef SSMD_TESTS_UNIT_DOCUMENT_LIB_H
#define SSMD_TESTS_UNIT_DOCUMENT_LIB_H

#include "schema/document.h"
#include "schema_lib.h"

/* A document with one step whose inputs and precondition are given. */
#define DOC(parameters, inputs, precondition)                                                      \
    "{\"schemaVersion\":\"2.2\",\"parameters\":" parameters                                        \
    ",\"mainSteps\":[{\"action\":\"aws:runShellScript\",\"name\":\"s\",\"inputs\":" inputs         \
    ",\"precondition\":" precondition "}]}"

/* NULL with *err filled when the document fails; else the caller owns it. */
static inline struct document *parse(const char *content, const char *given, bool is_nested,
                                     const struct document_resolver *resolver, struct err *err)
{
    cJSON *tree = tree_of(content), *values = given != NULL ? tree_of(given) : NULL;
    struct document_input in = {
        .content = tree, .parameters = values, .is_nested = is_nested, .resolver = resolver};
    struct document *d = NULL;

    if (document_parse(&in, &d, err) < 0)
        d = NULL;
    cJSON_Delete(tree);
    cJSON_Delete(values);
    return d;
}

#endif
