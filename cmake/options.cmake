# What every target of ours is compiled with. Nothing global: third-party code would suffer it too.
add_library(project_options INTERFACE)
target_compile_definitions(project_options INTERFACE _GNU_SOURCE)
target_compile_options(project_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes
  -Wwrite-strings -Wundef -Wvla -Wpointer-arith -Wcast-align -Wimplicit-fallthrough
  -fno-common -fvisibility=hidden
  $<$<BOOL:${SSMD_WERROR}>:-Werror>)

if(SSMD_SANITIZE)
  target_compile_options(project_options INTERFACE
    -fsanitize=${SSMD_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(project_options INTERFACE -fsanitize=${SSMD_SANITIZE})
endif()

if(SSMD_HARDENING)
  target_compile_options(project_options INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection)
  target_link_options(project_options INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
  add_link_options(-pie) # programs only; ignored for the static libraries
endif()

if(SSMD_COVERAGE)
  target_compile_options(project_options INTERFACE --coverage)
  target_link_options(project_options INTERFACE --coverage)
endif()

if(SSMD_BREAK)
  string(TOUPPER ${SSMD_BREAK} broken)
  string(REPLACE "-" "_" broken ${broken})
  target_compile_definitions(project_options INTERFACE SSMD_BREAK_${broken}=1)
endif()
