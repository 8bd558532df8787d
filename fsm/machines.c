/* The list of all machines: journal, tools and tests walk over it. */
#include "fsm/command.h"
#include "fsm/delivery.h"
#include "fsm/handover.h"
#include "fsm/registration.h"
#include "fsm/update.h"
#include "fsm/upload.h"

const struct fsm_machine *const fsm_machines[] = {&command_machine,
                                                  &delivery_machine,
                                                  &registration_machine,
                                                  &upload_machine,
                                                  &update_machine,
                                                  &handover_machine,
                                                  NULL};
