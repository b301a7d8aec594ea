/* lib/evidence/templates.c - RFC 4998 in OpenSSL's template language; nothing else stands here, for no formatter or analyser reads it. */
#include "internal.h"

/* clang-format off */
/* cppcheck-suppress unknownMacro ; it does not know OpenSSL's */
ASN1_ITEM_TEMPLATE(er_list) = ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SEQUENCE_OF, 0, er_list, ASN1_OCTET_STRING)
ASN1_ITEM_TEMPLATE_END(er_list)

ASN1_SEQUENCE(er_stamp) = {
    ASN1_IMP_OPT(er_stamp, digest, X509_ALGOR, 0),
    ASN1_IMP_SEQUENCE_OF_OPT(er_stamp, tree, er_list, 2),
    ASN1_SIMPLE(er_stamp, token, ASN1_ANY)
} ASN1_SEQUENCE_END(er_stamp)

ASN1_ITEM_TEMPLATE(er_chain) = ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SEQUENCE_OF, 0, er_chain, er_stamp)
ASN1_ITEM_TEMPLATE_END(er_chain)

ASN1_ITEM_TEMPLATE(er_sequence) = ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SEQUENCE_OF, 0, er_sequence, er_chain)
ASN1_ITEM_TEMPLATE_END(er_sequence)

ASN1_SEQUENCE(er_record) = {
    ASN1_SIMPLE(er_record, version, ASN1_INTEGER),
    ASN1_SEQUENCE_OF(er_record, digests, X509_ALGOR),
    ASN1_SEQUENCE_OF(er_record, chains, er_chain)
} ASN1_SEQUENCE_END(er_record)
struct er_record_st; /* ends the statement that the formatter sees */
/* clang-format on */
