# One list of warnings for every target; the compiler that brought a flag stands beside it.
add_library(kluis_flags INTERFACE)
target_compile_options(kluis_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wformat=2 -Wundef -Wvla
  -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wpointer-arith -Wswitch-enum -Wimplicit-fallthrough
  -Wnull-dereference -fno-common)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(kluis_flags INTERFACE
    -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init -Wformat-overflow=2
    -Wformat-truncation=1 -Warith-conversion) # gcc 12; truncation level 2 also warns where the result is checked, as ours are
elseif(CMAKE_C_COMPILER_ID STREQUAL "Clang")
  target_compile_options(kluis_flags INTERFACE
    -Wcomma -Wconditional-uninitialized -Wassign-enum -Wunreachable-code-aggressive -Wthread-safety
    -Wno-gnu-zero-variadic-macro-arguments) # clang 14; the last: -Wpedantic dislikes ", ##__VA_ARGS__" style calls
endif()
if(KLUIS_WERROR)
  target_compile_options(kluis_flags INTERFACE -Werror)
endif()
target_compile_definitions(kluis_flags INTERFACE _GNU_SOURCE KLUIS_VERSION="${PROJECT_VERSION}")
target_include_directories(kluis_flags INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/cmake)
target_compile_options(kluis_flags INTERFACE -include ${CMAKE_SOURCE_DIR}/cmake/banned.h)

if(KLUIS_SANITIZE)
  target_compile_options(kluis_flags INTERFACE -O1 -g -fsanitize=${KLUIS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(kluis_flags INTERFACE -fsanitize=${KLUIS_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(kluis_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
    -fstack-clash-protection -fcf-protection -fPIE)
  target_link_options(kluis_flags INTERFACE -Wl,-z,relro,-z,now)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(kluis_flags INTERFACE -ftrivial-auto-var-init=zero)
  endif()
endif()
if(KLUIS_FUZZ)
  target_compile_options(kluis_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(kluis_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(KLUIS_UNWALLED)
  target_compile_definitions(kluis_flags INTERFACE KLUIS_UNWALLED)
endif()
if(KLUIS_COVERAGE)
  target_compile_options(kluis_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(kluis_flags INTERFACE --coverage -Wl,--wrap=_exit)
  add_library(kluis_coverage STATIC ${CMAKE_SOURCE_DIR}/tests/support/coverage_exit.c)
  target_link_libraries(kluis_flags INTERFACE kluis_coverage)
endif()
