# Run by cpack when the files of each package lie in a folder of their own: what Debian wants besides.
if(NOT CPACK_MREGION_PREFIX STREQUAL "/usr")
  message(FATAL_ERROR "packages are made of a build for /usr, and this one is for ${CPACK_MREGION_PREFIX}: "
                      "configure it with -DCMAKE_INSTALL_PREFIX=/usr")
endif()

# usage: run(COMMAND...)
function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

foreach(package ${CPACK_COMPONENTS_ALL})
  set(stage ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${package})
  set(doc ${stage}/usr/share/doc/${package})
  configure_file(${CPACK_MREGION_DEBIAN}/changelog.in ${doc}/changelog.Debian @ONLY)
  configure_file(${CPACK_MREGION_DEBIAN}/copyright ${doc}/copyright COPYONLY)
  file(CHMOD ${doc}/changelog.Debian ${doc}/copyright PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  file(GLOB pages ${stage}/usr/share/man/man*/*)
  run(gzip -9nf ${doc}/changelog.Debian ${pages})
  # Debian's zsh looks there, and there only.
  if(EXISTS ${stage}/usr/share/zsh/site-functions)
    file(RENAME ${stage}/usr/share/zsh/site-functions ${stage}/usr/share/zsh/vendor-completions)
  endif()
  # cpack takes debugging information out of all but these.
  file(GLOB archives ${stage}/usr/lib/*/*.a)
  foreach(archive ${archives})
    run(${CPACK_MREGION_OBJCOPY} --strip-debug --enable-deterministic-archives ${archive})
  endforeach()
endforeach()
