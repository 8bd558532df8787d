# cmake -DBUILD=... -DPREFIX=... -DHAS_SSMD=... -P check_install.cmake
# Is what was installed complete, and does it run from there?
cmake_minimum_required(VERSION 3.22)
file(REMOVE_RECURSE ${PREFIX})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX}
  COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)

set(files bin/ssmctl share/bash-completion/completions/ssmctl share/man/man1/ssmctl.1 share/man/man1/ssmhub.1
  share/man/man5/ssmd.json.5 share/man/man8/ssmd.8 share/man/man8/ssmd-runner.8
  share/man/man8/ssmd-download.8 share/man/man8/ssmd-stager.8 share/man/man8/ssmd-updater.8
  share/doc/ssmd/examples/ssmd.json lib/systemd/system/ssmd.service)
set(programs bin/ssmctl)
if(HAS_SSMD)
  list(APPEND files libexec/ssmd/ssmd-runner libexec/ssmd/ssmd-download libexec/ssmd/ssmd-stager
    libexec/ssmd/ssmd-updater)
  list(APPEND programs sbin/ssmd libexec/ssmd/ssmd-download libexec/ssmd/ssmd-stager libexec/ssmd/ssmd-updater)
endif()
foreach(file ${files})
  if(NOT EXISTS ${PREFIX}/${file})
    message(SEND_ERROR "${PREFIX}/${file}: not installed")
  endif()
endforeach()
foreach(program ${programs})
  execute_process(COMMAND ${PREFIX}/${program} --version COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
endforeach()

file(STRINGS ${PREFIX}/lib/systemd/system/ssmd.service start REGEX "^ExecStart=")
if(NOT start STREQUAL "ExecStart=${PREFIX}/sbin/ssmd")
  message(SEND_ERROR "unit: ${start}; it should start ${PREFIX}/sbin/ssmd")
endif()
if(HAS_SSMD)
  # The runner must be where ssmd looks for it: beside the program that the link leads to.
  file(REAL_PATH ${PREFIX}/sbin/ssmd daemon)
  get_filename_component(directory ${daemon} DIRECTORY)
  if(NOT EXISTS ${directory}/ssmd-runner)
    message(SEND_ERROR "${directory}/ssmd-runner: not there, so ssmd could run nothing")
  endif()
  execute_process(COMMAND ${PREFIX}/sbin/ssmd --check-config --root ${PREFIX}/root
    --config ${PREFIX}/share/doc/ssmd/examples/ssmd.json
    RESULT_VARIABLE status ERROR_VARIABLE said OUTPUT_QUIET)
  if(said MATCHES "unknown|must be|is not between")
    message(SEND_ERROR "the example configuration is not understood: ${said}")
  endif()
endif()

# The same programs as the first version slot, with the units of one: twice, for the second time changes nothing.
if(HAS_SSMD)
  set(slots ${PREFIX}/slots)
  foreach(time first second)
    execute_process(COMMAND ${PREFIX}/libexec/ssmd/ssmd-updater install --root ${slots} --unit
      COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE said)
  endforeach()
  foreach(program ssmd ssmd-runner ssmd-download ssmd-stager ssmd-updater ssmctl)
    if(NOT EXISTS ${slots}/opt/ssmd/current/bin/${program})
      message(SEND_ERROR "${slots}/opt/ssmd/current/bin/${program}: not installed; it said: ${said}")
    endif()
  endforeach()
  foreach(program ssmd ssmctl ssmd-updater)
    execute_process(COMMAND ${slots}/usr/local/sbin/${program} --version COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
  endforeach()
endif()
