/* lib/verify/words.h - what the verifier says to people, in English or Dutch. */
#ifndef KLUIS_VERIFY_WORDS_H
#define KLUIS_VERIFY_WORDS_H

#include "kluis/validation.h"

enum lang { LANG_EN, LANG_NL };
const char *word_verdict(enum lang l, enum kluis_outcome o);
const char *word_state(enum lang l, enum kluis_layer_state s);
const char *word_layer(enum lang l, enum kluis_layer layer); /* with what it means */
const char *word_proven(enum lang l);
const char *word_at(enum lang l);
const char *word_help(enum lang l);

#endif
