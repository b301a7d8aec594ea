/* phrases.c - lines that WhatsApp itself writes: fixed ones in many languages, patterns in Dutch and English.
 *
 * Interface texts of the app, as seen in exports and in the app.  All comparing is on folded text (text.c), ASCII case aside.
 * A language that is not here still reads: marked lines become "system" events with their text (classify.c).
 */
#include "wa.h"

/* Whole bodies.  word: the call's kind or the event; self: the phrase says that the exporter did it. */
struct fixed {
    const char *text;
    enum wa_says says;
    const char *word;
    bool self;
};
static const struct fixed fixed[] = {
    { "null", WA_NULL, NULL, false },
    /* deleted by the sender; deleted by the exporter */
    { "this message was deleted", WA_DELETED, NULL, false },
    { "you deleted this message", WA_DELETED, NULL, true },
    { "dit bericht is verwijderd", WA_DELETED, NULL, false },
    { "dit bericht werd verwijderd", WA_DELETED, NULL, false },
    { "je hebt dit bericht verwijderd", WA_DELETED, NULL, true },
    { "u hebt dit bericht verwijderd", WA_DELETED, NULL, true },
    { "u heeft dit bericht verwijderd", WA_DELETED, NULL, true },
    { "jij hebt dit bericht verwijderd", WA_DELETED, NULL, true },
    { "diese nachricht wurde gelöscht", WA_DELETED, NULL, false },
    { "du hast diese nachricht gelöscht", WA_DELETED, NULL, true },
    { "ce message a été supprimé", WA_DELETED, NULL, false },
    { "vous avez supprimé ce message", WA_DELETED, NULL, true },
    { "se eliminó este mensaje", WA_DELETED, NULL, false },
    { "este mensaje fue eliminado", WA_DELETED, NULL, false },
    { "este mensaje se eliminó", WA_DELETED, NULL, false },
    { "se ha eliminado este mensaje", WA_DELETED, NULL, false },
    { "eliminaste este mensaje", WA_DELETED, NULL, true },
    { "has eliminado este mensaje", WA_DELETED, NULL, true },
    { "questo messaggio è stato eliminato", WA_DELETED, NULL, false },
    { "hai eliminato questo messaggio", WA_DELETED, NULL, true },
    { "esta mensagem foi apagada", WA_DELETED, NULL, false },
    { "mensagem apagada", WA_DELETED, NULL, false },
    { "apagou esta mensagem", WA_DELETED, NULL, true },
    { "você apagou esta mensagem", WA_DELETED, NULL, true },
    { "eliminou esta mensagem", WA_DELETED, NULL, true },
    { "esta mensagem foi eliminada", WA_DELETED, NULL, false },
    { "данное сообщение удалено", WA_DELETED, NULL, false },
    { "Данное сообщение удалено", WA_DELETED, NULL, false },
    { "Сообщение удалено", WA_DELETED, NULL, false },
    { "Вы удалили данное сообщение", WA_DELETED, NULL, true },
    { "Вы удалили это сообщение", WA_DELETED, NULL, true },
    { "Це повідомлення було видалено", WA_DELETED, NULL, false },
    { "Це повідомлення видалено", WA_DELETED, NULL, false },
    { "Ви видалили це повідомлення", WA_DELETED, NULL, true },
    { "tato zpráva byla odstraněna", WA_DELETED, NULL, false },
    { "tato zpráva byla smazána", WA_DELETED, NULL, false },
    { "tuto zprávu jste odstranil/a", WA_DELETED, NULL, true },
    { "tuto zprávu jste smazal/a", WA_DELETED, NULL, true },
    { "tuto zprávu jste odstranili", WA_DELETED, NULL, true },
    { "táto správa bola vymazaná", WA_DELETED, NULL, false },
    { "táto správa bola odstránená", WA_DELETED, NULL, false },
    { "túto správu ste vymazali", WA_DELETED, NULL, true },
    { "vymazali ste túto správu", WA_DELETED, NULL, true },
    { "odstránili ste túto správu", WA_DELETED, NULL, true },
    { "ta wiadomość została usunięta", WA_DELETED, NULL, false },
    { "wiadomość została usunięta", WA_DELETED, NULL, false },
    { "usunięto tę wiadomość", WA_DELETED, NULL, true },
    { "usunąłeś tę wiadomość", WA_DELETED, NULL, true },
    { "ta wiadomość została przez ciebie usunięta", WA_DELETED, NULL, true },
    { "bu mesaj silindi", WA_DELETED, NULL, false },
    { "bu mesajı sildiniz", WA_DELETED, NULL, true },
    { "det här meddelandet raderades", WA_DELETED, NULL, false },
    { "detta meddelande raderades", WA_DELETED, NULL, false },
    { "meddelandet raderades", WA_DELETED, NULL, false },
    { "du raderade det här meddelandet", WA_DELETED, NULL, true },
    { "du raderade detta meddelande", WA_DELETED, NULL, true },
    { "denne besked blev slettet", WA_DELETED, NULL, false },
    { "denne besked er slettet", WA_DELETED, NULL, false },
    { "denne meddelelse blev slettet", WA_DELETED, NULL, false },
    { "du slettede denne besked", WA_DELETED, NULL, true },
    { "du har slettet denne besked", WA_DELETED, NULL, true },
    { "du slettede denne meddelelse", WA_DELETED, NULL, true },
    { "denne meldingen ble slettet", WA_DELETED, NULL, false },
    { "du slettet denne meldingen", WA_DELETED, NULL, true },
    { "tämä viesti poistettiin", WA_DELETED, NULL, false },
    { "tämä viesti on poistettu", WA_DELETED, NULL, false },
    { "poistit tämän viestin", WA_DELETED, NULL, true },
    { "see sõnum kustutati", WA_DELETED, NULL, false },
    { "kustutasid selle sõnumi", WA_DELETED, NULL, true },
    { "kustutasite selle sõnumi", WA_DELETED, NULL, true },
    { "šī ziņa tika izdzēsta", WA_DELETED, NULL, false },
    { "Šī ziņa tika izdzēsta", WA_DELETED, NULL, false },
    { "jūs izdzēsāt šo ziņu", WA_DELETED, NULL, true },
    { "ši žinutė buvo ištrinta", WA_DELETED, NULL, false },
    { "Ši žinutė buvo ištrinta", WA_DELETED, NULL, false },
    { "jūs ištrynėte šią žinutę", WA_DELETED, NULL, true },
    { "ezt az üzenetet törölték", WA_DELETED, NULL, false },
    { "ez az üzenet törölve lett", WA_DELETED, NULL, false },
    { "az üzenet törölve", WA_DELETED, NULL, false },
    { "törölted ezt az üzenetet", WA_DELETED, NULL, true },
    { "ezt az üzenetet törölted", WA_DELETED, NULL, true },
    { "acest mesaj a fost șters", WA_DELETED, NULL, false },
    { "ai șters acest mesaj", WA_DELETED, NULL, true },
    { "ați șters acest mesaj", WA_DELETED, NULL, true },
    { "това съобщение беше изтрито", WA_DELETED, NULL, false },
    { "Това съобщение бе изтрито", WA_DELETED, NULL, false },
    { "Това съобщение беше изтрито", WA_DELETED, NULL, false },
    { "Изтрихте това съобщение", WA_DELETED, NULL, true },
    { "Вие изтрихте това съобщение", WA_DELETED, NULL, true },
    { "ova poruka je izbrisana", WA_DELETED, NULL, false },
    { "izbrisali ste ovu poruku", WA_DELETED, NULL, true },
    { "ova je poruka izbrisana", WA_DELETED, NULL, false },
    { "Ова порука је избрисана", WA_DELETED, NULL, false },
    { "Избрисали сте ову поруку", WA_DELETED, NULL, true },
    { "Обрисали сте ову поруку", WA_DELETED, NULL, true },
    { "Оваа порака беше избришана", WA_DELETED, NULL, false },
    { "Ја избришавте поракава", WA_DELETED, NULL, true },
    { "to sporočilo je bilo izbrisano", WA_DELETED, NULL, false },
    { "izbrisali ste to sporočilo", WA_DELETED, NULL, true },
    { "ky mesazh u fshi", WA_DELETED, NULL, false },
    { "ky mesazh është fshirë", WA_DELETED, NULL, false },
    { "ju fshitë këtë mesazh", WA_DELETED, NULL, true },
    { "Αυτό το μήνυμα διαγράφηκε", WA_DELETED, NULL, false },
    { "Διαγράψατε αυτό το μήνυμα", WA_DELETED, NULL, true },
    { "aquest missatge s'ha eliminat", WA_DELETED, NULL, false },
    { "heu eliminat aquest missatge", WA_DELETED, NULL, true },
    { "has eliminat aquest missatge", WA_DELETED, NULL, true },
    { "eliminouse esta mensaxe", WA_DELETED, NULL, false },
    { "eliminaches esta mensaxe", WA_DELETED, NULL, true },
    { "scriosadh an teachtaireacht seo", WA_DELETED, NULL, false },
    { "scrios tú an teachtaireacht seo", WA_DELETED, NULL, true },
    { "hierdie boodskap is geskrap", WA_DELETED, NULL, false },
    { "hierdie boodskap is uitgevee", WA_DELETED, NULL, false },
    { "jy het hierdie boodskap geskrap", WA_DELETED, NULL, true },
    { "jy het hierdie boodskap uitgevee", WA_DELETED, NULL, true },
    { "ujumbe huu umefutwa", WA_DELETED, NULL, false },
    { "ujumbe huu ulifutwa", WA_DELETED, NULL, false },
    { "umefuta ujumbe huu", WA_DELETED, NULL, true },
    { "ulifuta ujumbe huu", WA_DELETED, NULL, true },
    { "lo mlayezo usuliwe", WA_DELETED, NULL, false },
    { "usule lo mlayezo", WA_DELETED, NULL, true },
    { "pesan ini dihapus", WA_DELETED, NULL, false },
    { "pesan ini telah dihapus", WA_DELETED, NULL, false },
    { "anda menghapus pesan ini", WA_DELETED, NULL, true },
    { "anda telah menghapus pesan ini", WA_DELETED, NULL, true },
    { "mesej ini telah dipadam", WA_DELETED, NULL, false },
    { "mesej ini dipadamkan", WA_DELETED, NULL, false },
    { "anda telah memadam mesej ini", WA_DELETED, NULL, true },
    { "anda memadam mesej ini", WA_DELETED, NULL, true },
    { "na-delete ang mensaheng ito", WA_DELETED, NULL, false },
    { "binura ang mensaheng ito", WA_DELETED, NULL, false },
    { "tinanggal ang mensaheng ito", WA_DELETED, NULL, false },
    { "na-delete mo ang mensaheng ito", WA_DELETED, NULL, true },
    { "binura mo ang mensaheng ito", WA_DELETED, NULL, true },
    { "tin nhắn này đã bị xóa", WA_DELETED, NULL, false },
    { "tin nhắn này đã bị xoá", WA_DELETED, NULL, false },
    { "tin nhắn đã bị xóa", WA_DELETED, NULL, false },
    { "bạn đã xóa tin nhắn này", WA_DELETED, NULL, true },
    { "bạn đã xoá tin nhắn này", WA_DELETED, NULL, true },
    { "ข้อความนี้ถูกลบแล้ว", WA_DELETED, NULL, false },
    { "ข้อความนี้ถูกลบ", WA_DELETED, NULL, false },
    { "คุณได้ลบข้อความนี้", WA_DELETED, NULL, true },
    { "คุณลบข้อความนี้แล้ว", WA_DELETED, NULL, true },
    { "このメッセージは削除されました", WA_DELETED, NULL, false },
    { "このメッセージを削除しました", WA_DELETED, NULL, true },
    { "삭제된 메시지입니다", WA_DELETED, NULL, false },
    { "이 메시지는 삭제되었습니다", WA_DELETED, NULL, false },
    { "메시지를 삭제했습니다", WA_DELETED, NULL, true },
    { "이 메시지를 삭제했습니다", WA_DELETED, NULL, true },
    { "此消息已删除", WA_DELETED, NULL, false },
    { "该消息已删除", WA_DELETED, NULL, false },
    { "此訊息已刪除", WA_DELETED, NULL, false },
    { "此訊息已被刪除", WA_DELETED, NULL, false },
    { "這則訊息已刪除", WA_DELETED, NULL, false },
    { "这条消息已删除", WA_DELETED, NULL, false },
    { "这条消息已被删除", WA_DELETED, NULL, false },
    { "您已删除此消息", WA_DELETED, NULL, true },
    { "你删除了这条消息", WA_DELETED, NULL, true },
    { "您删除了此消息", WA_DELETED, NULL, true },
    { "您已刪除此訊息", WA_DELETED, NULL, true },
    { "你已刪除此訊息", WA_DELETED, NULL, true },
    { "你已刪除這則訊息", WA_DELETED, NULL, true },
    { "您已刪除這則訊息", WA_DELETED, NULL, true },
    { "你已收回此訊息", WA_DELETED, NULL, true },
    { "تم حذف هذه الرسالة", WA_DELETED, NULL, false },
    { "حُذفت هذه الرسالة", WA_DELETED, NULL, false },
    { "لقد حذَفت هذه الرسالة", WA_DELETED, NULL, true },
    { "لقد حذفت هذه الرسالة", WA_DELETED, NULL, true },
    { "این پیام حذف شد", WA_DELETED, NULL, false },
    { "این پیام حذف شده است", WA_DELETED, NULL, false },
    { "شما این پیام را حذف کردید", WA_DELETED, NULL, true },
    { "یہ پیغام حذف کر دیا گیا", WA_DELETED, NULL, false },
    { "یہ پیغام حذف کر دیا گیا تھا", WA_DELETED, NULL, false },
    { "آپ نے یہ پیغام حذف کر دیا", WA_DELETED, NULL, true },
    { "הודעה זו נמחקה", WA_DELETED, NULL, false },
    { "מחקת הודעה זו", WA_DELETED, NULL, true },
    { "מחקת את ההודעה הזו", WA_DELETED, NULL, true },
    { "यह मैसेज डिलीट कर दिया गया है", WA_DELETED, NULL, false },
    { "यह मैसेज मिटा दिया गया था", WA_DELETED, NULL, false },
    { "आपने यह मैसेज डिलीट किया", WA_DELETED, NULL, true },
    { "आपने यह मैसेज मिटा दिया", WA_DELETED, NULL, true },
    { "हा मेसेज हटवला गेला", WA_DELETED, NULL, false },
    { "हा संदेश हटविला गेला", WA_DELETED, NULL, false },
    { "तुम्ही हा मेसेज हटवला", WA_DELETED, NULL, true },
    { "आपण हा संदेश हटविला", WA_DELETED, NULL, true },
    { "এই মেসেজটি মুছে ফেলা হয়েছে", WA_DELETED, NULL, false },
    { "এই বার্তাটি মোছা হয়েছে", WA_DELETED, NULL, false },
    { "আপনি এই মেসেজটি মুছে ফেলেছেন", WA_DELETED, NULL, true },
    { "আপনি এই বার্তাটি মুছেছেন", WA_DELETED, NULL, true },
    { "આ સંદેશો ડિલીટ કરવામાં આવ્યો હતો", WA_DELETED, NULL, false },
    { "આ મેસેજ ડિલીટ કરવામાં આવ્યો હતો", WA_DELETED, NULL, false },
    { "તમે આ મેસેજ ડિલીટ કર્યો", WA_DELETED, NULL, true },
    { "இந்தச் செய்தி நீக்கப்பட்டது", WA_DELETED, NULL, false },
    { "இந்த மெசேஜ் நீக்கப்பட்டது", WA_DELETED, NULL, false },
    { "இந்தச் செய்தியை நீக்கிவிட்டீர்கள்", WA_DELETED, NULL, true },
    { "ఈ సందేశం తొలగించబడింది", WA_DELETED, NULL, false },
    { "మీరు ఈ సందేశాన్ని తొలగించారు", WA_DELETED, NULL, true },
    { "ಈ ಸಂದೇಶವನ್ನು ಅಳಿಸಲಾಗಿದೆ", WA_DELETED, NULL, false },
    { "ನೀವು ಈ ಸಂದೇಶವನ್ನು ಅಳಿಸಿದ್ದೀರಿ", WA_DELETED, NULL, true },
    { "ഈ സന്ദേശം ഇല്ലാതാക്കി", WA_DELETED, NULL, false },
    { "നിങ്ങൾ ഈ സന്ദേശം ഇല്ലാതാക്കി", WA_DELETED, NULL, true },
    { "ਇਹ ਸੁਨੇਹਾ ਮਿਟਾ ਦਿੱਤਾ ਗਿਆ ਸੀ", WA_DELETED, NULL, false },
    { "ਤੁਸੀਂ ਇਹ ਸੁਨੇਹਾ ਮਿਟਾ ਦਿੱਤਾ", WA_DELETED, NULL, true },
    { "bu mesaj silinib", WA_DELETED, NULL, false },
    { "siz bu mesajı sildiniz", WA_DELETED, NULL, true },
    { "Бұл хабар жойылды", WA_DELETED, NULL, false },
    { "Сіз бұл хабарды жойдыңыз", WA_DELETED, NULL, true },
    { "ushbu xabar o'chirildi", WA_DELETED, NULL, false },
    { "ushbu xabar o'chirib tashlangan", WA_DELETED, NULL, false },
    { "siz bu xabarni o'chirdingiz", WA_DELETED, NULL, true },
    { "ຂໍ້ຄວາມນີ້ຖືກລຶບແລ້ວ", WA_DELETED, NULL, false },
    { "an message seo scriosadh", WA_DELETED, NULL, false },
    { "deleted by the admin", WA_DELETED, NULL, false },
    /* missed calls */
    { "missed voice call", WA_CALL, "audio", false },
    { "missed video call", WA_CALL, "video", false },
    { "missed group voice call", WA_CALL, "audio", false },
    { "missed group video call", WA_CALL, "video", false },
    { "gemiste spraakoproep", WA_CALL, "audio", false },
    { "gemiste oproep", WA_CALL, "audio", false },
    { "gemist spraakgesprek", WA_CALL, "audio", false },
    { "gemist gesprek", WA_CALL, "audio", false },
    { "gemiste audio-oproep", WA_CALL, "audio", false },
    { "gemiste video-oproep", WA_CALL, "video", false },
    { "gemist videogesprek", WA_CALL, "video", false },
    { "gemiste videogesprek", WA_CALL, "video", false },
    { "gemiste groepsoproep", WA_CALL, "audio", false },
    { "gemiste groepsspraakoproep", WA_CALL, "audio", false },
    { "gemiste groepsvideo-oproep", WA_CALL, "video", false },
    { "gemist groepsgesprek", WA_CALL, "audio", false },
    { "gemist groepsvideogesprek", WA_CALL, "video", false },
    { "verpasster sprachanruf", WA_CALL, "audio", false },
    { "verpasster anruf", WA_CALL, "audio", false },
    { "verpasster videoanruf", WA_CALL, "video", false },
    { "appel vocal manqué", WA_CALL, "audio", false },
    { "appel vidéo manqué", WA_CALL, "video", false },
    { "llamada perdida", WA_CALL, "audio", false },
    { "llamada de voz perdida", WA_CALL, "audio", false },
    { "videollamada perdida", WA_CALL, "video", false },
    { "chiamata vocale persa", WA_CALL, "audio", false },
    { "chiamata persa", WA_CALL, "audio", false },
    { "videochiamata persa", WA_CALL, "video", false },
    { "chamada de voz perdida", WA_CALL, "audio", false },
    { "ligação de voz perdida", WA_CALL, "audio", false },
    { "chamada de vídeo perdida", WA_CALL, "video", false },
    { "videochamada perdida", WA_CALL, "video", false },
    { "zmeškaný hovor", WA_CALL, "audio", false },
    { "zmeškaný hlasový hovor", WA_CALL, "audio", false },
    { "zmeškaný videohovor", WA_CALL, "video", false },
    { "Пропущенный аудиозвонок", WA_CALL, "audio", false },
    { "Пропущенный видеозвонок", WA_CALL, "video", false },
    { "Пропущенный звонок", WA_CALL, "audio", false },
    { "Пропущений аудіодзвінок", WA_CALL, "audio", false },
    { "Пропущений відеодзвінок", WA_CALL, "video", false },
    { "Пропущений голосовий дзвінок", WA_CALL, "audio", false },
    { "nieodebrane połączenie głosowe", WA_CALL, "audio", false },
    { "nieodebrane połączenie wideo", WA_CALL, "video", false },
    { "nieodebrane połączenie", WA_CALL, "audio", false },
    { "cevapsız sesli arama", WA_CALL, "audio", false },
    { "cevapsız görüntülü arama", WA_CALL, "video", false },
    { "panggilan suara tak terjawab", WA_CALL, "audio", false },
    { "panggilan video tak terjawab", WA_CALL, "video", false },
    { "missat röstsamtal", WA_CALL, "audio", false },
    { "missat videosamtal", WA_CALL, "video", false },
    { "mistet opkald", WA_CALL, "audio", false },
    { "mistet taleopkald", WA_CALL, "audio", false },
    { "ubesvart taleanrop", WA_CALL, "audio", false },
    { "ubesvart videoanrop", WA_CALL, "video", false },
    { "mistet videoopkald", WA_CALL, "video", false },
    { "vastaamaton äänipuhelu", WA_CALL, "audio", false },
    { "vastaamaton videopuhelu", WA_CALL, "video", false },
    { "nem fogadott hanghívás", WA_CALL, "audio", false },
    { "nem fogadott videohívás", WA_CALL, "video", false },
    { "apel vocal nepreluat", WA_CALL, "audio", false },
    { "apel video nepreluat", WA_CALL, "video", false },
    { "Αναπάντητη φωνητική κλήση", WA_CALL, "audio", false },
    { "Αναπάντητη βιντεοκλήση", WA_CALL, "video", false },
    { "מענה קולי שלא נענה", WA_CALL, "audio", false },
    { "שיחה קולית שלא נענתה", WA_CALL, "audio", false },
    { "שיחת וידאו שלא נענתה", WA_CALL, "video", false },
    { "مكالمة صوتية فائتة", WA_CALL, "audio", false },
    { "مكالمة فيديو فائتة", WA_CALL, "video", false },
    { "मिस्ड वॉइस कॉल", WA_CALL, "audio", false },
    { "मिस्ड वीडियो कॉल", WA_CALL, "video", false },
    { "不在着信", WA_CALL, "audio", false },
    { "音声通話の不在着信", WA_CALL, "audio", false },
    { "ビデオ通話の不在着信", WA_CALL, "video", false },
    { "부재중 음성통화", WA_CALL, "audio", false },
    { "부재중 영상통화", WA_CALL, "video", false },
    { "未接语音通话", WA_CALL, "audio", false },
    { "未接视频通话", WA_CALL, "video", false },
    { "未接語音通話", WA_CALL, "audio", false },
    { "未接視訊通話", WA_CALL, "video", false },
    { "cuộc gọi thoại nhỡ", WA_CALL, "audio", false },
    { "cuộc gọi video nhỡ", WA_CALL, "video", false },
    { "สายที่ไม่ได้รับ", WA_CALL, "audio", false },
    { "สายวิดีโอที่ไม่ได้รับ", WA_CALL, "video", false },
    /* not delivered, seen once */
    { "waiting for this message", WA_WAITING, NULL, false },
    { "waiting for this message. this may take a while", WA_WAITING, NULL, false },
    { "wachten op dit bericht", WA_WAITING, NULL, false },
    { "wachten op dit bericht. dit kan even duren", WA_WAITING, NULL, false },
    { "wacht op dit bericht", WA_WAITING, NULL, false },
    { "you received a view once message. for added privacy, you can only open it on your phone", WA_VIEW_ONCE, NULL, false },
    { "view once voice message omitted", WA_VIEW_ONCE, NULL, false },
    { "view once message omitted", WA_VIEW_ONCE, NULL, false },
    { "view once photo omitted", WA_VIEW_ONCE, NULL, false },
    { "view once video omitted", WA_VIEW_ONCE, NULL, false },
    { "eenmalig weergegeven bericht weggelaten", WA_VIEW_ONCE, NULL, false },
    { "eenmalig spraakbericht weggelaten", WA_VIEW_ONCE, NULL, false },
    { "bericht voor eenmalige weergave weggelaten", WA_VIEW_ONCE, NULL, false },
    { "je hebt een bericht voor eenmalige weergave ontvangen. voor extra privacy kun je dit alleen op je telefoon openen", WA_VIEW_ONCE, NULL,
      false },
    /* live location: shared, no place told */
    { "live location shared", WA_LOCATION, "live", false },
    { "live locatie gedeeld", WA_LOCATION, "live", false },
    { "live-locatie gedeeld", WA_LOCATION, "live", false },
    { "livelocatie gedeeld", WA_LOCATION, "live", false },
    /* media left out, Android */
    { "<media omitted>", WA_OMITTED, NULL, false },
    { "<media weggelaten>", WA_OMITTED, NULL, false },
    { "<mediabestand weggelaten>", WA_OMITTED, NULL, false },
    { "<medien ausgeschlossen>", WA_OMITTED, NULL, false },
    { "<medien weggelassen>", WA_OMITTED, NULL, false },
    { "<médias omis>", WA_OMITTED, NULL, false },
    { "<fichier omis>", WA_OMITTED, NULL, false },
    { "<multimedia omitido>", WA_OMITTED, NULL, false },
    { "<archivo omitido>", WA_OMITTED, NULL, false },
    { "<media omessi>", WA_OMITTED, NULL, false },
    { "<media omesso>", WA_OMITTED, NULL, false },
    { "<mídia oculta>", WA_OMITTED, NULL, false },
    { "<arquivo de mídia oculto>", WA_OMITTED, NULL, false },
    { "<ficheiro não revelado>", WA_OMITTED, NULL, false },
    { "<multimédia oculto>", WA_OMITTED, NULL, false },
    { "<Без медиафайлов>", WA_OMITTED, NULL, false },
    { "<Медиа пропущены>", WA_OMITTED, NULL, false },
    { "<Файл пропущен>", WA_OMITTED, NULL, false },
    { "<média vynechány>", WA_OMITTED, NULL, false },
    { "<médiá vynechané>", WA_OMITTED, NULL, false },
    { "<pominięto multimedia>", WA_OMITTED, NULL, false },
    { "<multimedia pominięte>", WA_OMITTED, NULL, false },
    { "<medya dahil edilmedi>", WA_OMITTED, NULL, false },
    { "<medya atlanmış>", WA_OMITTED, NULL, false },
    { "<media har utelämnats>", WA_OMITTED, NULL, false },
    { "<media utelämnad>", WA_OMITTED, NULL, false },
    { "<media utelämnat>", WA_OMITTED, NULL, false },
    { "<mediefil udeladt>", WA_OMITTED, NULL, false },
    { "<medier udeladt>", WA_OMITTED, NULL, false },
    { "<udeladte medier>", WA_OMITTED, NULL, false },
    { "<utelatt media>", WA_OMITTED, NULL, false },
    { "<media utelatt>", WA_OMITTED, NULL, false },
    { "<media jätettiin pois>", WA_OMITTED, NULL, false },
    { "<media jätetty pois>", WA_OMITTED, NULL, false },
    { "<hiányzó médiafájl>", WA_OMITTED, NULL, false },
    { "<média kihagyva>", WA_OMITTED, NULL, false },
    { "<médiafájl kihagyva>", WA_OMITTED, NULL, false },
    { "<media omisă>", WA_OMITTED, NULL, false },
    { "<fișierele media au fost omise>", WA_OMITTED, NULL, false },
    { "<fișier media omis>", WA_OMITTED, NULL, false },
    { "<Παραλείφθηκαν πολυμέσα>", WA_OMITTED, NULL, false },
    { "<Παραλείφθηκε πολυμέσο>", WA_OMITTED, NULL, false },
    { "<Медіа пропущено>", WA_OMITTED, NULL, false },
    { "<Медіафайл пропущено>", WA_OMITTED, NULL, false },
    { "<Файл пропущено>", WA_OMITTED, NULL, false },
    { "<המדיה לא נכללה>", WA_OMITTED, NULL, false },
    { "<המדיה הושמטה>", WA_OMITTED, NULL, false },
    { "<تم استبعاد الوسائط>", WA_OMITTED, NULL, false },
    { "<تم إلغاء الوسائط>", WA_OMITTED, NULL, false },
    { "<رسانه حذف شد>", WA_OMITTED, NULL, false },
    { "<मीडिया के बिना>", WA_OMITTED, NULL, false },
    { "<मीडिया छोड़ा गया>", WA_OMITTED, NULL, false },
    { "<media tidak disertakan>", WA_OMITTED, NULL, false },
    { "<media tidak dimasukkan>", WA_OMITTED, NULL, false },
    { "<không bao gồm phương tiện>", WA_OMITTED, NULL, false },
    { "<phương tiện bị bỏ qua>", WA_OMITTED, NULL, false },
    { "<bỏ qua tệp phương tiện>", WA_OMITTED, NULL, false },
    { "<ไม่รวมสื่อ>", WA_OMITTED, NULL, false },
    { "<ไม่รวมไฟล์สื่อ>", WA_OMITTED, NULL, false },
    { "<メディアは含まれていません>", WA_OMITTED, NULL, false },
    { "<メディアファイルは含まれていません>", WA_OMITTED, NULL, false },
    { "<メディアなし>", WA_OMITTED, NULL, false },
    { "<미디어 생략>", WA_OMITTED, NULL, false },
    { "<미디어 파일 생략>", WA_OMITTED, NULL, false },
    { "<미디어 제외>", WA_OMITTED, NULL, false },
    { "<省略多媒体文件>", WA_OMITTED, NULL, false },
    { "<媒体文件已省略>", WA_OMITTED, NULL, false },
    { "<省略媒体文件>", WA_OMITTED, NULL, false },
    { "<省略多媒體檔>", WA_OMITTED, NULL, false },
    { "<省略多媒體檔案>", WA_OMITTED, NULL, false },
    { "<多媒體檔案已略去>", WA_OMITTED, NULL, false },
    { "<已忽略多媒體檔案>", WA_OMITTED, NULL, false },
    { "<medijski zapis izostavljen>", WA_OMITTED, NULL, false },
    { "<medij izostavljen>", WA_OMITTED, NULL, false },
    { "<Медији изостављени>", WA_OMITTED, NULL, false },
    { "<Без мултимедия>", WA_OMITTED, NULL, false },
    { "<Медията е пропусната>", WA_OMITTED, NULL, false },
    { "<medij izpuščen>", WA_OMITTED, NULL, false },
    { "<mediji so izpuščeni>", WA_OMITTED, NULL, false },
    { "<meedia jäeti välja>", WA_OMITTED, NULL, false },
    { "<meedia välja jäetud>", WA_OMITTED, NULL, false },
    { "<multivide ir izlaista>", WA_OMITTED, NULL, false },
    { "<praleista medija>", WA_OMITTED, NULL, false },
    { "<medija praleista>", WA_OMITTED, NULL, false },
    { "<media weggelaat>", WA_OMITTED, NULL, false },
    { "<midia imeachwa>", WA_OMITTED, NULL, false },
    { "<mediat u hoqën>", WA_OMITTED, NULL, false },
    { "<multimèdia omesos>", WA_OMITTED, NULL, false },
    { "<fitxers multimèdia omesos>", WA_OMITTED, NULL, false },
};
enum { N_FIXED = sizeof fixed / sizeof *fixed, SLOTS = 2048 };

struct wa_phrases {
    uint16_t slot[SLOTS];
    uint64_t first[65536 / 64];
};

static uint32_t lower_hash(const char *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        h = (h ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 16777619u;
    }
    return h;
}

/* Sixteen bits of the first four bytes, ASCII case aside. */
static uint32_t begin(const char *p)
{
    uint32_t h = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i];
        h = h * 251 + (c >= 'A' && c <= 'Z' ? c + 32u : c);
    }
    return (h ^ h >> 16) & 0xFFFF;
}

bool wa_phrase_may(const struct wa_phrases *t, struct kluis_str body)
{
    if (body.len < 4) { return false; }
    uint32_t b = begin(body.ptr);
    return (t->first[b / 64] >> (b % 64) & 1) != 0;
}

struct wa_phrases *wa_phrases_new(void)
{
    struct wa_phrases *t = kluis_calloc(1, sizeof *t);
    if (t == NULL) { return NULL; }
    for (size_t i = 0; i < N_FIXED; i++) {
        uint32_t k = lower_hash(fixed[i].text, strlen(fixed[i].text)) % SLOTS;
        while (t->slot[k] != 0) { k = (k + 1) % SLOTS; }
        t->slot[k] = (uint16_t)(i + 1);
        uint32_t b = begin(fixed[i].text);
        t->first[b / 64] |= UINT64_C(1) << (b % 64);
    }
    static const char *const more[] = { "poll",   "peil",   "mess",  "beri",  "nach", "silenced", "voice call", "video call",
                                        "spraak", "audio ", "image", "photo", "stic", "gif ",     "docu",       "cont",
                                        "afbe",   "foto",   "visi",  "your",  "uw b", "je b",     "secu" };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        uint32_t b = begin(more[i]);
        t->first[b / 64] |= UINT64_C(1) << (b % 64);
    }
    return t;
}

void wa_phrases_free(struct wa_phrases *t) { kluis_free(t); }

static bool same_lower(const char *a, size_t n, const char *z)
{
    if (strlen(z) != n) { return false; }
    for (size_t i = 0; i < n; i++) {
        unsigned char x = (unsigned char)a[i], y = (unsigned char)z[i];
        if ((x >= 'A' && x <= 'Z' ? x + 32 : x) != (y >= 'A' && y <= 'Z' ? y + 32 : y)) { return false; }
    }
    return true;
}

bool wa_phrase_find(const struct wa_phrases *t, const char *folded, size_t n, enum wa_says *says, const char **word, bool *self)
{
    for (uint32_t k = lower_hash(folded, n) % SLOTS; t->slot[k] != 0; k = (k + 1) % SLOTS) {
        const struct fixed *f = &fixed[t->slot[k] - 1];
        if (same_lower(folded, n, f->text)) {
            *says = f->says;
            *word = f->word;
            *self = f->self;
            return true;
        }
    }
    return false;
}

/* ---- patterns ---- {a} who did it, {m} to whom, {o} before, {n} after, {*} anything */
struct pattern {
    const char *event, *text;
};
static const struct pattern patterns[] = {
    { "security-code-changed", "Your security code with {m} changed{*}" },
    { "security-code-changed", "{m}'s security code changed{*}" },
    { "security-code-changed", "The security code for {m} changed{*}" },
    { "security-code-changed", "Security code changed{*}" },
    { "security-code-changed", "Je beveiligingscode voor {m} is gewijzigd{*}" },
    { "security-code-changed", "Je beveiligingscode met {m} is gewijzigd{*}" },
    { "security-code-changed", "De beveiligingscode van {m} is gewijzigd{*}" },
    { "security-code-changed", "De beveiligingscode voor {m} is gewijzigd{*}" },
    { "group-created", "{a} created group \"{n}\"" },
    { "group-created", "{a} created the group \"{n}\"" },
    { "group-created", "{a} created this group" },
    { "group-created", "{a} created group {n}" },
    { "group-created", "{a} heeft de groep \"{n}\" aangemaakt" },
    { "group-created", "{a} heeft groep \"{n}\" aangemaakt" },
    { "group-created", "{a} heeft de groep \"{n}\" gemaakt" },
    { "group-created", "{a} heeft deze groep aangemaakt" },
    { "group-created", "{a} heeft deze groep gemaakt" },
    { "community-created", "{a} created community \"{n}\"" },
    { "community-created", "{a} heeft de community \"{n}\" gemaakt" },
    { "community-changed", "{a} added this group to the community{*}" },
    { "community-changed", "This group was added to the community{*}" },
    { "community-changed", "{a} heeft deze groep toegevoegd aan de community{*}" },
    { "community-changed", "Deze groep is toegevoegd aan de community{*}" },
    { "subject-changed", "{a} changed the subject from \"{o}\" to \"{n}\"" },
    { "subject-changed", "{a} changed the subject to \"{n}\"" },
    { "subject-changed", "{a} changed the group name from \"{o}\" to \"{n}\"" },
    { "subject-changed", "{a} changed the group name to \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp gewijzigd van \"{o}\" naar \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp gewijzigd van \"{o}\" in \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp van \"{o}\" naar \"{n}\" gewijzigd" },
    { "subject-changed", "{a} heeft het onderwerp van \"{o}\" gewijzigd in \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp gewijzigd naar \"{n}\"" },
    { "subject-changed", "{a} heeft het onderwerp gewijzigd in \"{n}\"" },
    { "subject-changed", "{a} heeft de groepsnaam gewijzigd van \"{o}\" naar \"{n}\"" },
    { "subject-changed", "{a} heeft de groepsnaam van \"{o}\" gewijzigd in \"{n}\"" },
    { "subject-changed", "{a} heeft de groepsnaam gewijzigd naar \"{n}\"" },
    { "subject-changed", "{a} heeft de groepsnaam gewijzigd in \"{n}\"" },
    { "icon-changed", "{a} changed this group's icon" },
    { "icon-changed", "{a} changed the group icon" },
    { "icon-changed", "{a} changed the group photo" },
    { "icon-removed", "{a} deleted this group's icon" },
    { "icon-removed", "{a} deleted the group photo" },
    { "icon-changed", "{a} heeft de groepsafbeelding gewijzigd" },
    { "icon-changed", "{a} heeft de afbeelding van deze groep gewijzigd" },
    { "icon-changed", "{a} heeft het groepspictogram gewijzigd" },
    { "icon-changed", "{a} heeft de groepsfoto gewijzigd" },
    { "icon-changed", "{a} heeft het pictogram van deze groep gewijzigd" },
    { "icon-removed", "{a} heeft de groepsafbeelding verwijderd" },
    { "icon-removed", "{a} heeft de afbeelding van deze groep verwijderd" },
    { "icon-removed", "{a} heeft het groepspictogram verwijderd" },
    { "icon-removed", "{a} heeft de groepsfoto verwijderd" },
    { "icon-removed", "{a} heeft het pictogram van deze groep verwijderd" },
    { "description-changed", "{a} changed the group description{*}" },
    { "description-changed", "{a} changed the description of this group{*}" },
    { "description-removed", "{a} deleted the group description{*}" },
    { "description-changed", "{a} heeft de groepsomschrijving gewijzigd{*}" },
    { "description-changed", "{a} heeft de groepsbeschrijving gewijzigd{*}" },
    { "description-removed", "{a} heeft de groepsomschrijving verwijderd{*}" },
    { "description-removed", "{a} heeft de groepsbeschrijving verwijderd{*}" },
    { "description-changed", "{a} heeft de beschrijving van deze groep gewijzigd{*}" },
    { "description-changed", "{a} heeft de omschrijving van deze groep gewijzigd{*}" },
    { "settings-changed", "{a} changed this group's settings to {n}" },
    { "settings-changed", "{a} changed this group's settings{*}" },
    { "settings-changed", "{a} changed the group settings{*}" },
    { "settings-changed", "{a} turned on admin approval{*}" },
    { "settings-changed", "{a} turned off admin approval{*}" },
    { "settings-changed", "{a} heeft de instellingen van deze groep gewijzigd{*}" },
    { "settings-changed", "{a} heeft de groepsinstellingen gewijzigd{*}" },
    { "settings-changed", "{a} heeft goedkeuring door beheerders{*}" },
    { "settings-changed", "{a} heeft de instellingen van de groep gewijzigd{*}" },
    { "settings-changed", "{a} allowed all members to{*}" },
    { "settings-changed", "{a} allowed only admins to{*}" },
    { "settings-changed", "{a} allowed {m} to{*}" },
    { "admin-changed", "You're now an admin" },
    { "admin-changed", "{m} is now an admin" },
    { "admin-changed", "You're no longer an admin" },
    { "admin-changed", "{m} is no longer an admin" },
    { "admin-changed", "You are now an admin" },
    { "admin-changed", "You are no longer an admin" },
    { "admin-changed", "Je bent nu beheerder{*}" },
    { "admin-changed", "Je bent nu een beheerder" },
    { "admin-changed", "Je bent nu groepsbeheerder" },
    { "admin-changed", "{m} is nu beheerder" },
    { "admin-changed", "{m} is nu een beheerder" },
    { "admin-changed", "Je bent geen beheerder meer" },
    { "admin-changed", "{m} is geen beheerder meer" },
    { "admin-changed", "Je bent niet langer beheerder" },
    { "admin-changed", "{m} is niet langer beheerder" },
    { "timer-changed", "{a} updated the message timer. {n}" },
    { "timer-changed", "{a} turned off disappearing messages{*}" },
    { "timer-changed", "{a} turned on disappearing messages. {n}" },
    { "timer-changed", "{a} turned on disappearing messages{*}" },
    { "timer-changed", "{a} set the message timer{*}" },
    { "timer-changed", "{a} changed the message timer{*}" },
    { "timer-changed", "{a} uses a default timer{*}" },
    { "timer-changed", "{a} set disappearing messages{*}" },
    { "timer-changed", "{a} heeft berichten met vervaldatum {n}" },
    { "timer-changed", "{a} heeft verdwijnende berichten {n}" },
    { "timer-changed", "{a} heeft tijdelijke berichten {n}" },
    { "timer-changed", "{a} heeft zelfverwijderende berichten {n}" },
    { "timer-changed", "{a} heeft de berichttimer {n}" },
    { "timer-changed", "{a} heeft de timer voor {n}" },
    { "timer-changed", "{a} heeft de timer van {n}" },
    { "timer-changed", "{a} heeft de berichtentimer {n}" },
    { "timer-changed", "{a} gebruikt een standaardtimer{*}" },
    { "timer-changed", "{a} gebruikt een standaard timer{*}" },
    { "number-changed", "{m} changed their phone number to a new number{*}" },
    { "number-changed", "{m} changed their phone number{*}" },
    { "number-changed", "{m} changed their number{*}" },
    { "number-changed", "{m} changed to {n}" },
    { "number-changed", "{m} heeft het telefoonnummer gewijzigd{*}" },
    { "number-changed", "{m} heeft zijn telefoonnummer gewijzigd{*}" },
    { "number-changed", "{m} heeft haar telefoonnummer gewijzigd{*}" },
    { "number-changed", "{m} heeft een nieuw telefoonnummer{*}" },
    { "number-changed", "{m} heeft een nieuw nummer{*}" },
    { "number-changed", "{m} heeft het nummer gewijzigd{*}" },
    { "number-changed", "{m} is gewijzigd naar {n}" },
    { "number-changed", "{m} is gewijzigd in {n}" },
    { "message-pinned", "{a} pinned a message{*}" },
    { "message-unpinned", "{a} unpinned a message{*}" },
    { "message-pinned", "{a} heeft een bericht vastgezet{*}" },
    { "message-pinned", "{a} heeft een bericht vastgemaakt{*}" },
    { "message-unpinned", "{a} heeft een bericht losgemaakt{*}" },
    { "contact-blocked", "You blocked this {*}" },
    { "contact-unblocked", "You unblocked this {*}" },
    { "contact-blocked", "Je heeft dit contact geblokkeerd{*}" },
    { "contact-unblocked", "Je heeft dit contact gedeblokkeerd{*}" },
    { "contact-blocked", "Je heeft deze contactpersoon geblokkeerd{*}" },
    { "contact-unblocked", "Je heeft deze contactpersoon gedeblokkeerd{*}" },
    { "contact-unblocked", "Je heeft de blokkering van dit contact opgeheven{*}" },
    { "invite-link-reset", "{a} reset this group's invite link{*}" },
    { "invite-link-reset", "{a} heeft de uitnodigingslink van deze groep {*}" },
    { "invite-link-reset", "{a} heeft de groepsuitnodigingslink {*}" },
    { "joined-by-link", "{m} joined using this group's invite link" },
    { "joined-by-link", "{m} joined using a group link" },
    { "joined-by-link", "{m} joined via {*}" },
    { "joined-by-link", "{m} joined using {*}" },
    { "joined-by-link", "{m} is deelnemer geworden via de uitnodigingslink{*}" },
    { "joined-by-link", "Je bent deelnemer geworden via de uitnodigingslink{*}" },
    { "joined-by-link", "{m} is lid geworden via {*}" },
    { "joined-by-link", "Je bent lid geworden via {*}" },
    { "joined-by-link", "{m} neemt deel via {*}" },
    { "joined-by-link", "{m} neemt nu deel via {*}" },
    { "joined-by-link", "{m} heeft deelgenomen via {*}" },
    { "joined-by-link", "{m} joined from the community{*}" },
    { "join-requested", "{m} requested to join{*}" },
    { "join-requested", "{m} heeft een verzoek gedaan om {*}" },
    { "join-requested", "{m} wil deelnemen{*}" },
    { "chat-privacy-changed", "{a} turned on advanced chat privacy{*}" },
    { "chat-privacy-changed", "{a} turned off advanced chat privacy{*}" },
    { "chat-privacy-changed", "{a} heeft geavanceerde chatprivacy {*}" },
    { "business-account", "This chat is with {*}" },
    { "business-account", "This business {*}" },
    { "business-account", "Deze chat is met {*}" },
    { "business-account", "Dit bedrijf {*}" },
    { "business-account", "Dit is een bedrijfsaccount{*}" },
    { "contact-note", "{m} is a contact" },
    { "contact-note", "{m} is een contact" },
    { "contact-note", "{m} is een contactpersoon" },
    { "contact-note", "{m} is in your contacts" },
    { "member-left", "{m} left" },
    { "member-left", "{m} left the group" },
    { "member-left", "{m} heeft de groep verlaten" },
    { "member-left", "{m} heeft deze groep verlaten" },
    { "member-left", "{m} is weggegaan" },
    { "member-added", "You were added" },
    { "member-added", "{m} was added" },
    { "member-added", "{m} were added" },
    { "member-added", "Je bent toegevoegd{*}" },
    { "member-added", "{m} is toegevoegd" },
    { "member-added", "{m} zijn toegevoegd" },
    { "member-removed", "You were removed" },
    { "member-removed", "{m} was removed" },
    { "member-removed", "Je bent verwijderd{*}" },
    { "member-removed", "{m} is verwijderd" },
    { "member-added", "{a} added {m}" },
    { "member-removed", "{a} removed {m}" },
    { "member-added", "{a} heeft {m} toegevoegd" },
    { "member-removed", "{a} heeft {m} verwijderd" },
};

static bool same_n(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
        if ((x >= 'A' && x <= 'Z' ? x + 32 : x) != (y >= 'A' && y <= 'Z' ? y + 32 : y)) { return false; }
    }
    return true;
}

static bool match(const char *pat, const char *s, size_t n, struct kluis_str cap[128])
{
    size_t at = 0;
    while (*pat != 0) {
        if (*pat == '{') {
            char which = pat[1];
            pat += 3;
            const char *lit_end = strchr(pat, '{');
            size_t lit = lit_end == NULL ? strlen(pat) : (size_t)(lit_end - pat), end = at;
            if (lit == 0 && *pat == 0) {
                end = n;
            } else if (lit_end == NULL) { /* the last literal ends the line */
                if (n < at + lit || !same_n(s + n - lit, pat, lit)) { return false; }
                end = n - lit;
            } else {
                while (end + lit <= n && !same_n(s + end, pat, lit)) { end++; }
                if (end + lit > n) { return false; }
            }
            if (which != '*' && end == at) { return false; }
            cap[(unsigned char)which & 127] = (struct kluis_str){ s + at, end - at };
            at = end;
            continue;
        }
        if (at >= n || !same_n(s + at, pat, 1)) { return false; }
        at++;
        pat++;
    }
    return at == n;
}

static bool is_you(struct kluis_str s)
{
    static const char *const you[] = { "You", "Je", "U", "Jij" };
    for (size_t i = 0; i < sizeof you / sizeof *you; i++) {
        if (kluis_str_is(s, you[i])) { return true; }
    }
    return false;
}

bool wa_phrase_event(const char *folded, size_t n, struct wa_body *out)
{
    /* "Je hebt", "U hebt", "U heeft", "Uw" as one form, on the captures' own bytes where possible. */
    static const char *const you_have[] = { "Je hebt ", "U hebt ", "Jij hebt ", "U heeft " };
    char line[WA_FOLD_MAX];
    const char *s = folded;
    size_t len = n;
    for (size_t i = 0; i < sizeof you_have / sizeof *you_have; i++) {
        size_t k = strlen(you_have[i]);
        if (n > k && memcmp(folded, you_have[i], k) == 0 && n - k + 9 < sizeof line) {
            memcpy(line, "Je heeft ", 9);
            memcpy(line + 9, folded + k, n - k);
            s = line;
            len = n - k + 9;
        }
    }
    if (n > 3 && memcmp(folded, "Uw ", 3) == 0) {
        memcpy(line, "Je ", 3);
        memcpy(line + 3, folded + 3, n - 3);
        s = line;
    }
    if (n > 6 && memcmp(folded, "U bent", 6) == 0 && n + 1 < sizeof line) {
        memcpy(line, "Je", 2);
        memcpy(line + 2, folded + 1, n - 1);
        s = line;
        len = n + 1;
    }
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct kluis_str cap[128];
        memset(cap, 0, sizeof cap);
        if (!match(patterns[i].text, s, len, cap)) { continue; }
        struct kluis_str *to[4] = { &out->actor, &out->member, &out->before, &out->after };
        const char name[4] = { 'a', 'm', 'o', 'n' };
        for (int k = 0; k < 4; k++) {
            struct kluis_str c = cap[(int)name[k]];
            *to[k] = (struct kluis_str){ NULL, 0 };
            if (c.ptr == NULL) { continue; }
            if (s == line) { /* back to the folded line's own bytes */
                if (c.ptr == line) {
                    c = (struct kluis_str){ "You", 3 };
                } else {
                    c.ptr = folded + (n - (len - (size_t)(c.ptr - line)));
                }
            }
            *to[k] = c;
        }
        out->event = patterns[i].event;
        out->says = WA_EVENT;
        if (out->actor.ptr != NULL && is_you(out->actor)) { out->by_self = true; }
        return true;
    }
    return false;
}

bool wa_phrase_attached_word(const char *folded, size_t n)
{
    static const char *const w[] = { "attached",
                                     "file attached",
                                     "bijgevoegd",
                                     "bestand bijgevoegd",
                                     "anhang",
                                     "datei angehängt",
                                     "pièce jointe",
                                     "fichier joint",
                                     "adjunto",
                                     "archivo adjunto",
                                     "allegato",
                                     "file allegato",
                                     "anexado",
                                     "arquivo anexado",
                                     "ficheiro anexado",
                                     "anexo",
                                     "файл добавлен",
                                     "прикреплено",
                                     "вложено",
                                     "soubor byl přiložen",
                                     "přiloženo",
                                     "súbor priložený",
                                     "súbor bol priložený",
                                     "załączony plik",
                                     "plik dołączony",
                                     "plik w załączniku",
                                     "załączono",
                                     "dosya ekli",
                                     "dosya eklendi",
                                     "eklendi",
                                     "bifogad fil",
                                     "bifogat",
                                     "fil bifogad",
                                     "vedhæftet fil",
                                     "fil vedhæftet",
                                     "vedhæftet",
                                     "fil vedlagt",
                                     "vedlagt",
                                     "liite",
                                     "tiedosto liitetty",
                                     "liitetty",
                                     "fájl csatolva",
                                     "csatolva",
                                     "csatolt fájl",
                                     "fișier atașat",
                                     "atașat",
                                     "συνημμένο αρχείο",
                                     "συνημμένο",
                                     "файл додано",
                                     "додано",
                                     "прикріплено",
                                     "файл вкладено",
                                     "מצורף קובץ",
                                     "קובץ מצורף",
                                     "מצורף",
                                     "الملف مرفق",
                                     "ملف مرفق",
                                     "مرفق",
                                     "पर फ़ाइल संलग्न है",
                                     "फ़ाइल संलग्न",
                                     "file terlampir",
                                     "terlampir",
                                     "fail dilampirkan",
                                     "dilampirkan",
                                     "tệp đính kèm",
                                     "đính kèm",
                                     "ไฟล์แนบ",
                                     "แนบ",
                                     "添付ファイル",
                                     "ファイル添付",
                                     "첨부 파일",
                                     "파일 첨부됨",
                                     "첨부",
                                     "文件附件",
                                     "附件",
                                     "檔案附件",
                                     "附加的檔案",
                                     "privitak",
                                     "datoteka u privitku",
                                     "priložena datoteka",
                                     "priloženo",
                                     "прикачен файл",
                                     "приложена датотека",
                                     "fail lisatud",
                                     "pielikumā",
                                     "fails pievienots",
                                     "pridėtas failas",
                                     "lêer aangeheg",
                                     "aangeheg",
                                     "fitxer adjunt",
                                     "adjunt",
                                     "faili imeambatishwa" };
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) {
        if (same_lower(folded, n, w[i])) { return true; }
    }
    return false;
}

bool wa_phrase_omitted_word(const char *folded, size_t n, const char **media)
{
    static const struct {
        const char *w, *media;
    } o[] = { { "image omitted", "image" },
              { "photo omitted", "image" },
              { "video omitted", "video" },
              { "audio omitted", "audio" },
              { "sticker omitted", "sticker" },
              { "gif omitted", "gif" },
              { "document omitted", "document" },
              { "contact card omitted", "contact" },
              { "video note omitted", "video" },
              { "voice message omitted", "audio" },
              { "afbeelding weggelaten", "image" },
              { "foto weggelaten", "image" },
              { "video weggelaten", "video" },
              { "audio weggelaten", "audio" },
              { "sticker weggelaten", "sticker" },
              { "gif weggelaten", "gif" },
              { "document weggelaten", "document" },
              { "visitekaartje weggelaten", "contact" },
              { "contactkaart weggelaten", "contact" },
              { "contactkaartje weggelaten", "contact" },
              { "videobericht weggelaten", "video" },
              { "spraakbericht weggelaten", "audio" } };
    for (size_t i = 0; i < sizeof o / sizeof *o; i++) {
        if (same_lower(folded, n, o[i].w)) {
            *media = o[i].media;
            return true;
        }
    }
    return false;
}

bool wa_phrase_encryption(const char *folded, size_t n)
{
    static const char *const w[] = { "Messages and calls are end-to-end encrypted",
                                     "Messages to this chat and calls are now secured",
                                     "Messages you send to this ",
                                     "Messages to this group are now secured",
                                     "Messages and calls to this chat",
                                     "Messages are end-to-end encrypted",
                                     "Berichten en gesprekken worden end-to-end versleuteld",
                                     "Berichten en oproepen worden end-to-end versleuteld",
                                     "Berichten en oproepen zijn end-to-end versleuteld",
                                     "Berichten en gesprekken zijn end-to-end versleuteld",
                                     "Berichten zijn end-to-end versleuteld",
                                     "Berichten naar deze ",
                                     "Berichten die je naar deze ",
                                     "Berichten die u naar deze ",
                                     "Berichten die je verzendt naar deze ",
                                     "Nachrichten und Anrufe sind Ende-zu-Ende-verschl",
                                     "Nachrichten, die du in d",
                                     "Les messages et les appels sont chiffr",
                                     "Los mensajes y las llamadas est",
                                     "I messaggi e le chiamate sono crittografati",
                                     "As mensagens e as chamadas s",
                                     "As mensagens e chamadas s",
                                     "As mensagens e as chamadas",
                                     "Сообщения и звонки защищены",
                                     "Повідомлення й дзвінки",
                                     "Zprávy a hovory jsou",
                                     "Wiadomości i połączenia są",
                                     "Mesajlar ve aramalar" };
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) {
        size_t k = strlen(w[i]);
        if (n >= k && same_n(folded, w[i], k)) { return true; }
    }
    return false;
}
