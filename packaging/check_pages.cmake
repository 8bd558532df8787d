# cmake -DPREFIX=... -DANALYZE=... -DGROFF=... -P check_pages.cmake
# What was installed into the prefix: does systemd take the unit, does it say what scripts rely on, and do the
# manual pages format without a complaint?
cmake_minimum_required(VERSION 3.22)
set(unit ${PREFIX}/lib/systemd/system/ssmd.service)
file(READ ${unit} text)
# Scripts outlive ssmd (KillMode), have cgroups of their own (Delegate), and do not fall with one that runs out
# of memory (OOMPolicy); a reload is SIGHUP; a start is never given up.
foreach(line KillMode=process Delegate=yes OOMPolicy=continue "ExecReload=/bin/kill -HUP $MAINPID" Restart=always
        StartLimitIntervalSec=0 TasksMax=infinity)
  string(FIND "${text}" "\n${line}\n" at)
  if(at EQUAL -1)
    message(SEND_ERROR "${unit}: no line ${line}")
  endif()
endforeach()
# What is taken from the service is taken from its scripts.
if(text MATCHES "\n(Protect|Private|Restrict|SystemCall|Capabilit|NoNewPrivileges|ReadOnly|Inaccessible|User=)[^\n]*")
  message(SEND_ERROR "${unit}: ${CMAKE_MATCH_0} confines the scripts too")
endif()
if(ANALYZE)
  execute_process(COMMAND ${ANALYZE} verify --man=no ${unit} RESULT_VARIABLE status ERROR_VARIABLE said)
  if(NOT status EQUAL 0 OR said MATCHES "ssmd.service")
    message(SEND_ERROR "systemd-analyze: ${said}")
  endif()
endif()
if(GROFF)
  file(GLOB pages ${PREFIX}/share/man/man*/ssm*)
  list(LENGTH pages n)
  if(n LESS 5)
    message(SEND_ERROR "${PREFIX}/share/man: ${n} pages; there should be at least 5")
  endif()
  foreach(page ${pages})
    execute_process(COMMAND ${GROFF} -mandoc -ww -z -Tutf8 ${page} RESULT_VARIABLE status ERROR_VARIABLE said)
    if(NOT status EQUAL 0 OR NOT said STREQUAL "")
      message(SEND_ERROR "${page}: ${said}")
    endif()
  endforeach()
endif()
