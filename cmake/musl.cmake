# musl for ssmd-runner, where it is there. Such a program begins in a third of the time, which every step pays: glibc
# asks the processor for all of its features first, and in a virtual machine each question goes to the hypervisor.
# GCC takes another C library by a specs file, so this is a target like any other. Its specs know no static PIE: the
# files of the start are named here.
set(musl_dirs /usr/lib/${CMAKE_SYSTEM_PROCESSOR}-linux-musl /usr/local/musl/lib /usr/lib/musl/lib)
find_file(SSMD_MUSL_SPECS musl-gcc.specs PATHS ${musl_dirs} NO_DEFAULT_PATH)
find_file(SSMD_MUSL_RCRT1 rcrt1.o PATHS ${musl_dirs} NO_DEFAULT_PATH)
mark_as_advanced(SSMD_MUSL_SPECS SSMD_MUSL_RCRT1)

set(SSMD_HAS_MUSL OFF)
if(SSMD_MUSL_RUNNER AND SSMD_MUSL_SPECS AND SSMD_MUSL_RCRT1 AND CMAKE_C_COMPILER_ID STREQUAL GNU
    AND NOT SSMD_SANITIZE AND NOT SSMD_COVERAGE)
  set(SSMD_HAS_MUSL ON)
  get_filename_component(musl_dir ${SSMD_MUSL_RCRT1} DIRECTORY)
  foreach(file crtbeginS.o crtendS.o)
    execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=${file} OUTPUT_VARIABLE musl_${file}
      OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
  add_library(musl INTERFACE)
  # The kernel's headers are the system's.
  target_compile_options(musl INTERFACE -specs=${SSMD_MUSL_SPECS} "SHELL:-idirafter /usr/include"
    "SHELL:-idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}")
  target_link_options(musl INTERFACE -specs=${SSMD_MUSL_SPECS} -static -nostartfiles
    -Wl,-pie,--no-dynamic-linker,-z,text ${SSMD_MUSL_RCRT1} ${musl_dir}/crti.o ${musl_crtbeginS.o})
  target_link_libraries(musl INTERFACE ${musl_crtendS.o} ${musl_dir}/crtn.o)
  message(STATUS "ssmd-runner is linked with musl (${musl_dir})")
endif()
