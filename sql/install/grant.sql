-- Who may do what: levels of access, granted to roles.

create view mautomate_internal.access as
  select level, name
  from (values
    ('app', 'clock identify alias tag untag track track_batch send enroll unenroll add_to_list remove_from_list clear_override score handle_mail handle_status handle_inbound unsubscribe'),
    ('analyst', 'clock score top_leads explain_list preview_list explain_enrollment explain_message timeline workflow_definition preview_template'),
    ('marketer', 'create_list create_static_list drop_list rename_list create_score create_score_rule create_score_tier drop_score drop_score_rule drop_score_tier rename_score create_template drop_template rename_template create_workflow activate_workflow pause_workflow drop_workflow rename_workflow pause_channel resume_channel define_attribute drop_attribute rename_attribute define_event drop_event rename_event cancel_message resend_message suppress unsuppress')
  ) as v (level, names), string_to_table(names, ' ') as name;
comment on view mautomate_internal.access is
  'the functions that each level adds; marketer has those of app and analyst too, admin has all';

create function mautomate.grant_access(role regrole, level text)
  returns void language c strict
  as 'MODULE_PATHNAME', 'mautomate_grant_access';
comment on function mautomate.grant_access(regrole, text) is
  'lets a role work with mautomate: app (identify, track, send, enroll; insert into mautomate.event), analyst (read everything, explain), marketer (both, and lists, scores, templates, workflows), admin (everything but what needs a superuser). What it had stays. Errors: another level; the caller may not grant';

