/* A Signal export: its lines, what says which version it is, and an attachment. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_signal_export, "", "main.jsonl", "metadata.json",
                  "files/96/96416f18586af8379700570725999a68055a5cca90ce50789cb6bf5cfe122b16.txt");
