/* Element: every record can be written, whatever export.json holds; a file of it lies beside. */
#include "tests/fuzz/source_file.h"

FUZZ_SOURCE_FILES(source_matrix_export, "export.json", "export.json", "images/foto-01-01-2026 at 09-00.png");
