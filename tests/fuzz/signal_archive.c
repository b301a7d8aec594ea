/* Frames of a Signal backup in the clear: every record of them can be written.  What seals them is proved before anything is parsed. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_signal_archive, "frames.binproto", "frames.binproto");
